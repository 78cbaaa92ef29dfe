class Chats {
  unread = $state(0);
}

export const chats = new Chats();
