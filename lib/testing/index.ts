/** Helpers for the tests of those who use the transport: `nestjs-ben-udp/testing`. */
export { type BoardRequest, VirtualBoard, type VirtualBoardStats } from './virtual-board.js';
export type { FaultDirection, VirtualBoardFaults, VirtualBoardOptions } from './virtual-board.options.js';
