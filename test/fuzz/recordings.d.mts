export const recordings: {
  readonly keyFile: Buffer;
  readonly datagrams: readonly Buffer[];
  readonly envelopes: readonly Buffer[];
  readonly requests: readonly string[];
  readonly replies: readonly string[];
};
