import { IsNumber, Max, Min } from 'class-validator';

/** A measurement of a DHT11 or DHT22. A broken sensor reports nan, which is not a number here. */
export class DhtReading {
  /** °C */
  @IsNumber()
  @Min(-40)
  @Max(125)
  temperature!: number;

  /** % */
  @IsNumber()
  @Min(0)
  @Max(100)
  humidity!: number;
}
