/**
 * A set in the order in which its members were added last. Most sets of a large fleet have one member, which is stored without a `Set`:
 * that saves 200 bytes.
 */
export type SmallSet<Member> = Member | Set<Member> | undefined;

export function sizeOf(set: SmallSet<unknown>): number {
  return isSet(set) ? set.size : Number(set !== undefined);
}

/** The members, the one that was added longest ago first. */
export function membersOf<Member>(set: SmallSet<Member>): Iterable<Member> {
  if (isSet(set)) {
    return set;
  }
  return set === undefined ? [] : [set];
}

/** The set with a member at its end. Changes a `Set` in place. */
export function withLast<Member>(set: SmallSet<Member>, member: Member): SmallSet<Member> {
  if (isSet(set)) {
    set.delete(member);
    return set.add(member);
  }
  return set === undefined || set === member ? member : new Set([set, member]);
}

/** The set without a member; `undefined` if it was the only one. Changes a `Set` in place. */
export function without<Member>(set: SmallSet<Member>, member: Member): SmallSet<Member> {
  if (isSet(set)) {
    set.delete(member);
    return set.size > 0 ? set : undefined;
  }
  return set === member ? undefined : set;
}

function isSet<Member>(set: SmallSet<Member>): set is Set<Member> {
  return set instanceof Set;
}
