/** Reactions one can choose from: [sign, name]. Any other that somebody used is shown, too. */
export const EMOJI = [
  ['👍', 'Thumbs up'],
  ['❤️', 'Heart'],
  ['😂', 'Laughing'],
  ['🎉', 'Celebration'],
  ['🙏', 'Thank you'],
  ['👀', 'Eyes'],
  ['✅', 'Done'],
  ['🚀', 'Rocket'],
  ['👎', 'Thumbs down'],
  ['😀', 'Grinning'],
  ['😍', 'In love'],
  ['😎', 'Cool'],
  ['🤔', 'Thinking'],
  ['😮', 'Surprised'],
  ['😢', 'Sad'],
  ['😅', 'Relieved'],
  ['👏', 'Applause'],
  ['🙌', 'Raised hands'],
  ['👋', 'Waving'],
  ['💪', 'Strong'],
  ['🔥', 'Fire'],
  ['💡', 'Idea'],
  ['💯', 'Hundred'],
  ['❌', 'No'],
] as const;

export const COLUMNS = 8;
