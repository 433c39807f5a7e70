import { Catch, type RpcExceptionFilter } from '@nestjs/common';
import { type Observable, throwError } from 'rxjs';
import { NoReadingError } from './readings.service.js';

/** Tells the device why there is no reading. Other errors stay hidden behind "Internal server error". */
@Catch(NoReadingError)
export class NoReadingFilter implements RpcExceptionFilter<NoReadingError> {
  catch(error: NoReadingError): Observable<never> {
    return throwError(() => ({ status: 'error', message: error.message }));
  }
}
