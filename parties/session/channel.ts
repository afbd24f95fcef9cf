/** How frames travel between a party and whoever relays them. What is behind it, a WebSocket or a test, does not show. */
export interface FrameChannel {
  /** Sends one frame body; resolves when there is room for the next. */
  send(body: Uint8Array, signal?: AbortSignal): Promise<void>;
  /** The next frame body. Rejects with a `Failure` of kind `environment` where the connection is over. */
  receive(signal?: AbortSignal): Promise<Uint8Array>;
  /** Says goodbye and frees everything. Never rejects; may be called more than once. */
  close(): Promise<void>;
}
