/** What the frame of the page remembers. */
class ShellState {
  /** Whether the side bar is open, on narrow screens. */
  drawer = $state(false);
}

export const shell = new ShellState();
