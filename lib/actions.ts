/**
 * The actions of an app. Only the compiler uses them: nothing is left at run time.
 */

/**
 * The actions that the boards of an app may request, by name: the type of their `data` and of their `reply`. Empty by default, so
 * every name and value is accepted. An app declares its actions:
 *
 *     declare module 'nestjs-ben-udp' {
 *       interface BenUdpActions {
 *         led: { data: boolean; reply: string };
 *         dhtsensor: { data: Reading };
 *       }
 *     }
 *
 * The compiler then checks the names in `@BenUdpMessagePattern` and `@BenUdpEventPattern`, and the results of their handlers.
 * An action without `reply` is an event.
 */
// eslint-disable-next-line @typescript-eslint/no-empty-object-type
export interface BenUdpActions {}

/** The names of a map of actions. Any text for an empty map. */
export type BenUdpActionName<Actions = BenUdpActions> = [keyof Actions] extends [never]
  ? string
  : Extract<keyof Actions, string>;

/** The names of the actions that have a reply. Any text for an empty map. */
export type BenUdpMessageName<Actions = BenUdpActions> = [keyof Actions] extends [never]
  ? string
  : { [Name in Extract<keyof Actions, string>]: 'reply' extends keyof Actions[Name] ? Name : never }[Extract<
      keyof Actions,
      string
    >];

/**
 * The `data` of an action: `@Payload() on: BenUdpData<'led'>`. `undefined` if the action has none, and `unknown` if it is in no map. With
 * `data?: boolean`, boards may leave it out: `boolean | undefined`.
 *
 * The compiler can't check the annotation of a parameter, so use this type for it. If a pipe needs a class at run time, as Nest's
 * `ValidationPipe` does, annotate the parameter with that class instead.
 */
export type BenUdpData<Name, Actions = BenUdpActions> = Name extends keyof Actions
  ? 'data' extends keyof Actions[Name]
    ? Actions[Name]['data']
    : undefined
  : unknown;

/** The `reply` of an action. `unknown` if it has none, or if it is in no map. */
export type BenUdpReply<Name, Actions = BenUdpActions> = Name extends keyof Actions
  ? 'reply' extends keyof Actions[Name]
    ? Actions[Name]['reply']
    : unknown
  : unknown;
