/** A colour as red, green, blue from 0 to 255. */
export type Colour = readonly [number, number, number];

/** What a picture shows at a point. Writes red, green and blue; coordinates are in pixels of the full-size picture. */
export type Shader = (x: number, y: number, out: Float64Array) => void;

export interface Frame {
  readonly width: number;
  readonly height: number;
}

/**
 * The shader's picture, `columns` x `rows` pixels of three bytes, whatever its full size; each pixel is the mean of
 * `samples` x `samples` points, which is what shrinking the full-size picture comes to.
 */
export function render(shader: Shader, frame: Frame, columns: number, rows: number, samples: number): Uint8Array {
  const pixels = new Uint8Array(columns * rows * 3);
  const stepX = frame.width / (columns * samples);
  const stepY = frame.height / (rows * samples);
  const point = new Float64Array(3);
  let at = 0;
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      let [red, green, blue] = [0, 0, 0];
      for (let i = 0; i < samples * samples; i++) {
        const subX = column * samples + (i % samples) + 0.5;
        const subY = row * samples + Math.floor(i / samples) + 0.5;
        shader(subX * stepX, subY * stepY, point);
        red += point[0] ?? 0;
        green += point[1] ?? 0;
        blue += point[2] ?? 0;
      }
      const scale = 1 / (samples * samples);
      pixels[at++] = toByte(red * scale);
      pixels[at++] = toByte(green * scale);
      pixels[at++] = toByte(blue * scale);
    }
  }
  return pixels;
}

/** Mixes a colour over what is there; `amount` from 0 to 1. */
export function blend(out: Float64Array, colour: Colour, amount: number): void {
  for (let c = 0; c < 3; c++) out[c] = (out[c] ?? 0) * (1 - amount) + (colour[c] ?? 0) * amount;
}

export function darken(out: Float64Array, factor: number): void {
  for (let c = 0; c < 3; c++) out[c] = (out[c] ?? 0) * factor;
}

/** The colour with each channel moved by about `spread`. */
export function vary([red, green, blue]: Colour, spread: number, normal: () => number): Colour {
  const together = normal() * spread;
  return [
    red + together + normal() * spread * 0.4,
    green + together + normal() * spread * 0.4,
    blue + together + normal() * spread * 0.4,
  ];
}

const toByte = (value: number): number => Math.max(0, Math.min(255, Math.round(value)));
