import { sql } from 'drizzle-orm';
import { readings, readingsHourly, series } from './schema.js';
import { SqlStore } from './sql-store.js';

/** PGlite has none of the processes that keep a server of PostgreSQL in order. Without them its log grows without end. */
export class PgliteStore extends SqlStore {
  override async maintain(): Promise<void> {
    await this.db.execute(sql`vacuum (analyze) ${readings}, ${readingsHourly}, ${series}`);
    await this.db.execute(sql`checkpoint`);
  }
}
