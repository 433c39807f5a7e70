import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import type { BenUdpContext } from 'nestjs-ben-udp';

/** Lets in devices that have a key of their own: the name belongs to the key, so it can't be forged. */
@Injectable()
export class KnownDeviceGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    return context.switchToRpc().getContext<BenUdpContext>().getDevice() !== undefined;
  }
}
