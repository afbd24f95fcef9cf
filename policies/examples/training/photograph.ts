/** Full-size pictures as JPEG files, and the way from such a file to a network's input. */
import sharp from 'sharp';
import { render, type Frame, type Shader } from './canvas.ts';
import { normalise } from './classifier.ts';

export async function photograph(shader: Shader, frame: Frame): Promise<Uint8Array> {
  const { width, height } = frame;
  const pixels = render(shader, frame, width, height, 1);
  return new Uint8Array(
    await sharp(pixels, { raw: { width, height, channels: 3 } })
      .jpeg({ quality: 90 })
      .toBuffer(),
  );
}

/** [3][side][side], as the manifests say: stretched, RGB, normalised. */
export async function tensorOfJpeg(jpeg: Uint8Array, side: number): Promise<Float32Array> {
  const pixels = await sharp(jpeg).resize(side, side, { fit: 'fill' }).removeAlpha().raw().toBuffer();
  const cells = side * side;
  const tensor = new Float32Array(3 * cells);
  for (let i = 0; i < cells; i++) {
    for (let c = 0; c < 3; c++) tensor[c * cells + i] = normalise(pixels[3 * i + c] ?? 0);
  }
  return tensor;
}
