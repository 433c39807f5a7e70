export const PYTHON_TOKENS: readonly string[];
