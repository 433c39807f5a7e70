import { IsNumber, Max, Min } from 'class-validator';

/** What a DHT11 or DHT22 measures. A broken one reports nan, which is no number here. */
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
