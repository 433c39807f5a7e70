/** The closed list of exit codes, for scripts. */
export const EXIT_CODES = {
  /** The command did its work. */
  ok: 0,
  /** It failed, or it found a problem. Standard error names the next step. */
  failed: 1,
  /** The command line is wrong. Nothing was done. */
  usage: 2,
  /** No answer arrived, or none that verifies. */
  noAnswer: 3,
  /** The server answered with an error. */
  errorReply: 4,
  /** A bug in this program. */
  bug: 70,
  /** Ctrl+C before the end. */
  interrupted: 130,
} as const;

export type ExitCode = (typeof EXIT_CODES)[keyof typeof EXIT_CODES];
