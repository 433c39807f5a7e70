/**
 * A guard that allows devices by the name of their key.
 */
import { type CanActivate, type ExecutionContext, SetMetadata, UseGuards, applyDecorators } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import { getBenUdpRequest } from './ben-udp.request.js';

/** A text, not a symbol of this copy of the package: a global guard may come from another copy. */
const ALLOWED_DEVICES = 'nestjs-ben-udp:allowed-devices';

/**
 * The guard behind `@AllowDevices()`. Name it in `overrideGuard` in tests.
 *
 * As a global guard, it allows every device that has its own key, unless `@AllowDevices()` names some. It ignores handlers of other
 * transports that have no `@AllowDevices()`.
 *
 * @publicApi
 */
export class BenUdpDeviceGuard implements CanActivate {
  private readonly reflector = new Reflector();

  canActivate(context: ExecutionContext): boolean {
    const names = this.reflector.getAllAndOverride<readonly string[] | undefined>(ALLOWED_DEVICES, [
      context.getHandler(),
      context.getClass(),
    ]);
    const request = getBenUdpRequest(context);
    if (!names && !request) {
      return true;
    }
    const device = request?.getDevice();
    return device !== undefined && (!names?.length || names.includes(device));
  }
}

/**
 * Allows only the devices with these names. Without names, it allows every device that has its own key. The name belongs to the key
 * (option `keys`), so it can't be forged. Boards with a shared key, and requests of other transports, are refused. An empty list,
 * `@AllowDevices(...[])`, is no names: check a list from your settings before.
 *
 * For a method or a whole controller. On a method, it replaces the one on the controller. A refused board gets "Forbidden resource", as
 * with any guard of Nest.
 *
 * @throws TypeError for a name that is not a text, or is empty.
 * @publicApi
 */
export function AllowDevices(...names: string[]): ClassDecorator & MethodDecorator {
  const wrong = names.find((name) => typeof name !== 'string' || name === '');
  if (wrong !== undefined) {
    throw new TypeError(
      `@AllowDevices(): the name of a device must be a text that is not empty, as in the option "keys", got ${JSON.stringify(wrong)}`,
    );
  }
  return applyDecorators(SetMetadata(ALLOWED_DEVICES, names), UseGuards(BenUdpDeviceGuard));
}
