export { parsePythonText } from './parse.js';
export { printPythonText } from './print.js';
export { PYTHON_TEXT_LIMITS, type PythonTextLimits, type BenUdpValue } from './value.js';
