/** Helpers for the tests of those who use the transport: `nestjs-ben-udp/testing`. */
export { type BoardRequest, VirtualBoard, type VirtualBoardOptions } from './virtual-board.js';
