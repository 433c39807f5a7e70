/** Helpers for the tests of an app that uses the transport: `nestjs-ben-udp/testing`. */
export { type BoardRequest, type BoardRequestOf, VirtualBoard, type VirtualBoardStats } from './virtual-board.js';
export type { FaultDirection, VirtualBoardFaults, VirtualBoardOptions } from './virtual-board-options.js';
