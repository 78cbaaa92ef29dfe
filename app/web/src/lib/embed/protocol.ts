/** Page → frame, over the port that it was given. */
export interface Show {
  html: string;
}

/** Frame → page: how high what it shows is, in pixels. */
export interface Height {
  height: number;
}

export const LEAST_HEIGHT = 40;
export const MOST_HEIGHT = 800;
