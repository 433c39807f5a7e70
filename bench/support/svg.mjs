/**
 * The few shapes that charts are made of.
 */

/** @type {Record<string, string>} */
const ESCAPES = { '&': '&amp;', '<': '&lt;', '>': '&gt;' };

const short = (/** @type {number} */ value) => Number(value.toFixed(1));

/**
 * @param {string[]} shapes
 * @param {number} width
 * @param {number} height
 */
export function figure(width, height, shapes) {
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" font-family="sans-serif" font-size="12">`,
    '<rect width="100%" height="100%" fill="#ffffff"/>',
    ...shapes,
    '</svg>',
  ].join('\n')}\n`;
}

/**
 * @param {number} x
 * @param {number} y
 * @param {number} width
 * @param {number} height
 * @param {string} color
 */
export function bar(x, y, width, height, color) {
  return `<rect x="${short(x)}" y="${short(y)}" width="${short(width)}" height="${height}" fill="${color}"/>`;
}

/**
 * @typedef {object} TextStyle
 * @property {'end' | 'middle'} [anchor]
 * @property {number} [size]
 * @property {boolean} [bold]
 * @property {string} [color]
 */

/**
 * @param {TextStyle} style
 * @param {number} x
 * @param {number} y
 * @param {unknown} content
 */
export function text(x, y, content, style = {}) {
  const { anchor, size, bold, color } = style;
  const attributes = [
    anchor && ` text-anchor="${anchor}"`,
    size && ` font-size="${size}"`,
    bold && ' font-weight="bold"',
    color && ` fill="${color}"`,
  ];
  const escaped = String(content).replace(/[&<>]/g, (character) => ESCAPES[character]);
  return `<text x="${short(x)}" y="${short(y)}"${attributes.filter(Boolean).join('')}>${escaped}</text>`;
}

/**
 * @param {readonly { x: number, y: number }[]} points
 * @param {string} color
 */
export function line(points, color, { dashed = false } = {}) {
  const path = points.map(({ x, y }) => `${short(x)},${short(y)}`).join(' ');
  return `<polyline points="${path}" fill="none" stroke="${color}" stroke-width="2"${dashed ? ' stroke-dasharray="5 4"' : ''}/>`;
}

/**
 * @param {number} x
 * @param {number} y
 * @param {string} color
 */
export function dot(x, y, color) {
  return `<circle cx="${short(x)}" cy="${short(y)}" r="3" fill="${color}"/>`;
}
