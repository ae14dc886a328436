// The order of the ids of log entries, `<epoch>-<number>`: the twin of `eventlog/events/src/entry_id.rs`.

export interface EntryId {
  epoch: number;
  number: number;
}

/** Reads an id; `undefined` for `0`, `end` and whatever else is no entry's. */
export function parseEntryId(text: string): EntryId | undefined {
  const parts = /^(\d+)-(\d+)$/.exec(text);
  if (!parts) return undefined;
  const id = { epoch: Number(parts[1]), number: Number(parts[2]) };
  return Number.isSafeInteger(id.epoch) && Number.isSafeInteger(id.number) ? id : undefined;
}

/** Whether an entry comes after another one. */
export function isAfter(id: EntryId, other: EntryId): boolean {
  return id.epoch > other.epoch || (id.epoch === other.epoch && id.number > other.number);
}
