/** Where a picture stands in the input tensor. The decoder lays it there; the gate finds the way back for boxes. */
import type { Resize } from '../functions/model-manifest.ts';

export interface Placement {
  /** Size of the whole picture after scaling, in pixels of the tensor. */
  readonly width: number;
  readonly height: number;
  /** Its top left corner in the tensor; negative where the picture is cut. */
  readonly left: number;
  readonly top: number;
}

/** The input tensor, and how a picture is made to fit it. */
export interface TensorSize {
  readonly width: number;
  readonly height: number;
  readonly resize: Resize;
}

/** Places a picture of `width` x `height` pixels, as its orientation shows it. */
export function place({ width: w, height: h, resize }: TensorSize, width: number, height: number): Placement {
  switch (resize.mode) {
    case 'stretch':
      return { width: w, height: h, left: 0, top: 0 };
    case 'letterbox': {
      const scale = Math.min(w / width, h / height);
      const scaled = {
        width: Math.min(w, Math.max(1, Math.round(width * scale))),
        height: Math.min(h, Math.max(1, Math.round(height * scale))),
      };
      const centre = resize.position === 'centre';
      return {
        ...scaled,
        left: centre ? Math.floor((w - scaled.width) / 2) : 0,
        top: centre ? Math.floor((h - scaled.height) / 2) : 0,
      };
    }
    case 'crop': {
      const scale =
        resize.shortSide === undefined ? Math.max(w / width, h / height) : resize.shortSide / Math.min(width, height);
      const scaled = {
        width: Math.max(w, Math.round(width * scale)),
        height: Math.max(h, Math.round(height * scale)),
      };
      return {
        ...scaled,
        left: -Math.floor((scaled.width - w) / 2),
        top: -Math.floor((scaled.height - h) / 2),
      };
    }
  }
}

/** A position relative to the tensor as a position relative to the picture, not yet clipped. */
export function toPicture(
  tensor: TensorSize,
  placement: Placement,
  x: number,
  y: number,
): readonly [x: number, y: number] {
  return [
    (x * tensor.width - placement.left) / placement.width,
    (y * tensor.height - placement.top) / placement.height,
  ];
}
