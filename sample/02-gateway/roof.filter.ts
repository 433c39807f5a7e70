import { Catch, Logger, type RpcExceptionFilter } from '@nestjs/common';
import { BenUdpRequestError } from 'nestjs-ben-udp';
import { type Observable, throwError } from 'rxjs';

/** Tells a board that the roof did not answer, and logs the reason. */
@Catch(BenUdpRequestError)
export class RoofFilter implements RpcExceptionFilter<BenUdpRequestError> {
  private readonly logger = new Logger('Roof');

  catch(error: BenUdpRequestError): Observable<never> {
    this.logger.warn(`${error.code}: ${error.message}`);
    return throwError(() => ({ status: 'error', message: 'the roof does not answer' }));
  }
}
