/** Metadata, from Nest's dispatch hook or the dict of a device to the context of the handler: only a round trip shows it. */
import { Controller } from '@nestjs/common';
import { Ctx, EventPattern, MessagePattern, Payload } from '@nestjs/microservices';
import { BenUdpClient, BenUdpContext, type BenUdpExchange } from 'nestjs-ben-udp';
import { firstValueFrom } from 'rxjs';
import { describe, expect, it, onTestFinished } from 'vitest';
import { KEY_CONTENTS, startApp } from '../support/nest-app.js';

const TRACE = { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' };

@Controller()
class Handlers {
  readonly noted: unknown[] = [];

  @MessagePattern('metadata')
  metadata(@Payload() data: unknown, @Ctx() context: BenUdpContext) {
    const metadata = context.getMetadata();
    return { data: data ?? 'none', metadata: metadata === undefined ? 'undefined' : metadata };
  }

  @EventPattern<string>('note')
  note(@Payload() _data: unknown, @Ctx() context: BenUdpContext) {
    this.noted.push(context.getMetadata());
  }
}

async function startWithClient() {
  const started = await startApp({ controllers: [Handlers] });
  const client = new BenUdpClient({ port: started.port, key: KEY_CONTENTS });
  onTestFinished(() => client.close());
  return { ...started, client };
}

describe('BenUdpContext#getMetadata', () => {
  it("sees what Nest's dispatch hook put on the packet", async () => {
    const { client } = await startWithClient();
    client.setOnDispatchHook((packet) => {
      packet.metadata = TRACE;
    });
    const answer = await firstValueFrom(client.send('metadata', 1));
    expect(answer).toEqual({ data: 1, metadata: TRACE });
  });

  it('sees it in an event handler too, and exchange events tell it', async () => {
    const { client, app, transport } = await startWithClient();
    const events: BenUdpExchange[] = [];
    transport.on('exchange', (event) => events.push(event));
    client.setOnDispatchHook((packet) => {
      packet.metadata = TRACE;
    });
    await firstValueFrom(client.emit('note', 1), { defaultValue: undefined });
    await expect.poll(() => app.get(Handlers).noted).toEqual([TRACE]);
    expect(events).toMatchObject([{ pattern: 'note', metadata: TRACE }]);
  });

  it('is undefined for a client without a hook', async () => {
    const { client } = await startWithClient();
    expect(await firstValueFrom(client.send('metadata', 1))).toEqual({ data: 1, metadata: 'undefined' });
  });

  it.each([
    ['a dict under meta', "{'action': 'metadata', 'data': 1, 'meta': {'trace': 'x', 'n': 2}}", { trace: 'x' }],
    ['no meta', "{'action': 'metadata', 'data': 1}", 'undefined'],
    ['meta that is no dict', "{'action': 'metadata', 'data': 1, 'meta': 'x'}", 'undefined'],
    ['meta in its data', "{'action': 'metadata', 'data': 1, 'other': {'meta': 2}}", 'undefined'],
  ])('is what a device sends: %s', async (_what, text, metadata) => {
    const { board } = await startApp({ controllers: [Handlers] });
    const answer = await (await board()).exchange(text);
    expect(JSON.parse(answer!)).toEqual({ data: { data: 1, metadata } });
  });
});
