import { readFile, readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { Injectable } from '@nestjs/common';
import type { BenUdpClientOptions, BenUdpTransportOptions } from 'nestjs-ben-udp';

const KEY_FILE_ENDING = '.sec';

/**
 * Provides options, here from the environment and a folder of key files. A secret store over the network would look the same to
 * the rest of the app, because both are asynchronous.
 */
@Injectable()
export class SettingsService {
  private readonly keyFolder = process.env['BEN_KEY_FOLDER'] ?? 'keys';

  /** The server for the boards. Each has its own key, in a file with its name: `keys/boards/board-01.sec`. */
  async forBoards(): Promise<BenUdpTransportOptions> {
    const folder = join(this.keyFolder, 'boards');
    const files = (await readdir(folder)).filter((name) => name.endsWith(KEY_FILE_ENDING));
    return {
      host: process.env['BEN_HOST'] ?? '0.0.0.0',
      port: Number(process.env['BEN_PORT'] ?? 8585),
      keys: Object.fromEntries(files.map((name) => [basename(name, KEY_FILE_ENDING), join(folder, name)])),
      // Behind its name comes the number of the process.
      knownBoardsFile: join(this.keyFolder, 'known-boards'),
      // One process answers all boards, so those of protocol v2 need not notice its restart.
      route: 1,
    };
  }

  /** The server on the roof, which the gateway asks. */
  async forRoof(): Promise<BenUdpClientOptions> {
    return {
      host: process.env['BEN_ROOF_HOST'] ?? '127.0.0.1',
      port: Number(process.env['BEN_ROOF_PORT'] ?? 8586),
      key: await readFile(join(this.keyFolder, `roof${KEY_FILE_ENDING}`)),
      timeout: 1000,
      retries: 2,
    };
  }
}
