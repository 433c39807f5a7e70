/** What happens to datagrams of one direction; nothing by default. */
export interface Faults {
  /** Share that gets lost, each for itself. */
  loss?: number;
  /** Share that begins a burst in which everything is lost. */
  burstLoss?: number;
  /** Datagrams of one client in a burst, on average. Default 4. */
  burstLength?: number;
  /** Share that arrives twice. */
  duplicate?: number;
  /** The second one later by up to this. Default 5. */
  duplicateMs?: number;
  /** Share that is held back, so that others overtake it. */
  reorder?: number;
  /** How long, from and to. Default 500 to 1000. */
  reorderMs?: readonly [number, number];
  delayMs?: number;
  /** More or less delay, order kept. */
  jitterMs?: number;
  /** Share in which bits are flipped. */
  corrupt?: number;
  /** Share that is cut off. */
  truncate?: number;
}

/** What became of datagrams, in numbers. */
export interface Fates {
  readonly sent: number;
  readonly arrived: number;
  readonly lost: number;
  readonly doubled: number;
  readonly reordered: number;
  readonly corrupted: number;
  readonly truncated: number;
}

export interface BothWays<T> {
  readonly toServer: T;
  readonly toDevice: T;
}

export interface LossyProxyOptions extends Partial<BothWays<Faults>> {
  /** Where the server is. Default host 127.0.0.1. */
  server: { host?: string; port: number };
  /** Where the boards find the proxy. Default 127.0.0.1, any free port. */
  host?: string;
  port?: number;
  /** Default 1. */
  seed?: number;
}

/** A bad network: a UDP proxy between boards and server. */
export class LossyProxy {
  private constructor();
  static start(options: LossyProxyOptions): Promise<LossyProxy>;
  /** The port it listens on. */
  readonly port: number;
  /** Boards (address and port) that were heard. */
  readonly clients: number;
  /** Counted since the start, of all boards together. */
  readonly fates: BothWays<Fates>;
  /** From now on; what is under way stays so. */
  setFaults(faults: Partial<BothWays<Faults>>): void;
  /** What is under way is lost. */
  close(): Promise<void>;
}
