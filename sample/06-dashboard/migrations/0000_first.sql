CREATE TABLE "boards" (
	"name" text PRIMARY KEY NOT NULL,
	"last_seen_at" timestamp (3) with time zone NOT NULL,
	"address" text NOT NULL
);
--> statement-breakpoint
CREATE TABLE "commands" (
	"id" text PRIMARY KEY NOT NULL,
	"number" bigserial NOT NULL,
	"board" text NOT NULL,
	"name" text NOT NULL,
	"data" jsonb,
	"state" text DEFAULT 'queued' NOT NULL,
	"tries" integer DEFAULT 0 NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"expires_at" timestamp (3) with time zone NOT NULL,
	"sent_at" timestamp (3) with time zone,
	"done_at" timestamp (3) with time zone,
	"result" jsonb
);
--> statement-breakpoint
CREATE TABLE "readings" (
	"series_id" integer NOT NULL,
	"at" timestamp (3) with time zone NOT NULL,
	"value" double precision NOT NULL
);
--> statement-breakpoint
CREATE TABLE "readings_hourly" (
	"series_id" integer NOT NULL,
	"hour" timestamp (3) with time zone NOT NULL,
	"count" integer NOT NULL,
	"mean" double precision NOT NULL,
	"min" double precision NOT NULL,
	"max" double precision NOT NULL,
	CONSTRAINT "readings_hourly_series_id_hour_pk" PRIMARY KEY("series_id","hour")
);
--> statement-breakpoint
CREATE TABLE "rejections" (
	"minute" timestamp (3) with time zone NOT NULL,
	"reason" text NOT NULL,
	"board" text NOT NULL,
	"count" integer NOT NULL,
	CONSTRAINT "rejections_minute_reason_board_pk" PRIMARY KEY("minute","reason","board")
);
--> statement-breakpoint
CREATE TABLE "series" (
	"id" serial PRIMARY KEY NOT NULL,
	"board" text NOT NULL,
	"metric" text NOT NULL,
	CONSTRAINT "series_board_metric" UNIQUE("board","metric")
);
--> statement-breakpoint
CREATE TABLE "sessions" (
	"token_hash" text PRIMARY KEY NOT NULL,
	"expires_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "settings" (
	"name" text PRIMARY KEY NOT NULL,
	"value" text NOT NULL
);
--> statement-breakpoint
CREATE INDEX "commands_board_number" ON "commands" USING btree ("board","number");--> statement-breakpoint
CREATE INDEX "commands_open" ON "commands" USING btree ("expires_at") WHERE "commands"."state" in ('queued', 'sent');--> statement-breakpoint
CREATE INDEX "readings_series_at" ON "readings" USING btree ("series_id","at");--> statement-breakpoint
CREATE INDEX "readings_at" ON "readings" USING btree ("at");