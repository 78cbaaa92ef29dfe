/** Which addresses may be shown, and as what. */

const PICTURE = /^data:image\/(png|jpeg|gif|webp|svg\+xml);base64,[a-z0-9+/=\s]+$/i;

/**
 * Whether an address may be shown as a picture: contained in the text, fetched from nowhere. (An
 * SVG shown as a picture runs no script.)
 */
export function isPicture(address: string): boolean {
  return PICTURE.test(address);
}

/** Whether a text may be a link's address. */
export function isLink(address: string): boolean {
  try {
    return ['http:', 'https:', 'mailto:'].includes(new URL(address).protocol);
  } catch {
    return false; // relative: to what?
  }
}
