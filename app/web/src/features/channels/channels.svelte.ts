class Channels {
  unread = $state(0);
}

export const channels = new Channels();
