/** object-detection: a picture in, what was found out. Schemas: `../picture.schema.json`, `output.schema.json`. */
export interface DetectedObject {
  readonly label: string;
  readonly score: number;
  /** [ymin, xmin, ymax, xmax], relative to the picture as its EXIF orientation shows it. */
  readonly box: readonly [number, number, number, number];
}

export interface DetectionAnswer {
  readonly objects: readonly DetectedObject[];
}
