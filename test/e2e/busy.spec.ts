/** More requests of one board than handlers may run for it. */
import { Controller } from '@nestjs/common';
import { EventPattern, MessagePattern } from '@nestjs/microservices';
import { describe, expect, it } from 'vitest';
import { MovablePlatform } from '../support/movable-platform.js';
import { startApp, unanswered } from '../support/nest-app.js';

const heard: number[] = [];
let release: () => void = () => undefined;
let released = Promise.resolve();

function hold(): void {
  heard.length = 0;
  released = new Promise((resolve) => {
    release = resolve;
  });
}

@Controller()
class Handlers {
  @EventPattern('note')
  async note(number: number) {
    heard.push(number);
    await released;
  }

  @MessagePattern('echo')
  echo() {
    return 'hello';
  }
}

describe('a board that sends faster than its handlers end', () => {
  it('has 16 events run and 32 wait: none of 48 is lost, and they run in their order', async () => {
    hold();
    const { transport, board } = await startApp({ controllers: [Handlers] });
    const device = await board();
    const numbers = Array.from({ length: 48 }, (_, number) => number);
    for (const number of numbers) {
      await device.send({ action: 'note', data: number }, { noreturn: true });
    }
    // This exchange comes after the others, so they have arrived.
    expect(await device.exchange("{'action': 'echo'}")).toContain('busy: too many handlers are running');
    expect(heard).toEqual(numbers.slice(0, 16));
    expect(transport.getStats()).toMatchObject({ inFlight: 48, rejected: { busy: 1 } });
    await device.send({ action: 'note', data: 48 }, { noreturn: true });
    await expect.poll(() => transport.getStats().rejected.busy).toBe(2);
    release();
    await expect.poll(() => transport.getStats().inFlight).toBe(0);
    expect(heard).toEqual(numbers);
    expect(await device.exchange("{'action': 'echo'}")).toContain('hello');
  });

  it('is told nothing if errorReply is none', async () => {
    hold();
    const { transport, board } = await startApp(
      { controllers: [Handlers] },
      { errorReply: 'none', maxInFlightPerDevice: 1 },
    );
    const clock = new MovablePlatform();
    const device = await board({}, clock);
    await device.send({ action: 'note', data: 0 }, { noreturn: true });
    const outcome = await unanswered(
      clock,
      device.exchange("{'action': 'echo'}"),
      () => transport.getStats().rejected.busy === 1,
    );
    expect(outcome).toMatchObject({ code: 'BEN_TIMEOUT' });
    release();
  });

  it('has its queued events reported at shutdown like running ones', async () => {
    hold();
    const { transport, board, logs } = await startApp(
      { controllers: [Handlers] },
      { maxInFlightPerDevice: 1, shutdownTimeout: 50 },
    );
    const device = await board();
    for (const number of [0, 1, 2]) {
      await device.send({ action: 'note', data: number }, { noreturn: true });
    }
    await expect.poll(() => transport.getStats().inFlight).toBe(3);
    await transport.close();
    expect(logs.of('warn')).toContainEqual(expect.stringContaining('3 handlers still ran'));
    release();
    await new Promise((resolve) => setImmediate(resolve));
    expect(heard).toEqual([0]);
  });
});
