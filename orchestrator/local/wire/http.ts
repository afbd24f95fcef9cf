/** What goes back to the client, whatever the protocol. */
export interface HttpAnswer {
  readonly status: number;
  /** Undefined where there is no body. */
  readonly contentType?: string;
  readonly body: string | Uint8Array;
  /** Beyond content type, content length and the request's id. */
  readonly headers?: Readonly<Record<string, string>>;
}
