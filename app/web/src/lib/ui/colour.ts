const COLOURS = [
  '#a34a28',
  '#8a5a00',
  '#5f6b12',
  '#2e7238',
  '#1b6f6a',
  '#1f6391',
  '#4a55a8',
  '#7a459c',
  '#a03a74',
  '#94404a',
];

/** A colour for an id: always the same one, dark enough for white text. `#rrggbb`. */
export function colourOf(id: string): string {
  let hash = 0;
  for (const sign of id) hash = (hash * 31 + (sign.codePointAt(0) ?? 0)) >>> 0;
  return COLOURS[hash % COLOURS.length] ?? '#555555';
}
