/** The closed list of exit codes, for scripts. */
export const EXIT_CODES = {
  /** What was asked for was done. */
  ok: 0,
  /** It could not be done, or it was and the finding is bad; standard error says what to do next. */
  failed: 1,
  /** The command line is wrong; nothing was done. */
  usage: 2,
  /** No answer came, or none that verifies. */
  noAnswer: 3,
  /** The server answered with an error. */
  errorReply: 4,
  /** A bug in this program. */
  bug: 70,
  /** Ctrl+C before it was done. */
  interrupted: 130,
} as const;

export type ExitCode = (typeof EXIT_CODES)[keyof typeof EXIT_CODES];
