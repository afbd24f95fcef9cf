/** image-classification: a picture in, its most likely labels out. Schemas: `../picture.schema.json`, `output.schema.json`. */
export interface ClassificationAnswer {
  readonly labels: readonly { readonly label: string; readonly score: number }[];
}
