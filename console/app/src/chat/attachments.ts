// Files that a message brings along, before it is sent.

import type { Attachment, GatewayClient } from "@steadfast/client";

/** The limits of the gateway: `attachments/src/limits.rs`. */
const MAX_FILES = 10;
const MAX_FILE_BYTES = 8 * 1024 * 1024;
const MAX_BYTES = 12 * 1024 * 1024;

/** What browsers offer to choose from. What else is text is taken too. */
export const ACCEPT =
  "image/png,image/jpeg,image/gif,image/webp,application/pdf,.docx,.xlsx,.pptx,text/*,.md,.csv,.json,.xml,.yaml,.yml,.toml,.js,.sql,.sh";

/** Why these files cannot be sent with one message; `undefined` if they can. */
export function refusalOf(files: File[]): string | undefined {
  if (files.length > MAX_FILES) return `A message has at most ${MAX_FILES} files.`;
  const large = files.find((file) => file.size > MAX_FILE_BYTES);
  if (large) return `${large.name} is larger than 8 MiB.`;
  const empty = files.find((file) => file.size === 0);
  if (empty) return `${empty.name} is empty.`;
  if (files.reduce((sum, file) => sum + file.size, 0) > MAX_BYTES) return "The files of a message are at most 12 MiB together.";
  return undefined;
}

/** Stores the files, one after the other. */
export async function upload(gateway: GatewayClient, taskId: string, files: File[]): Promise<Attachment[]> {
  const stored: Attachment[] = [];
  for (const file of files) stored.push(await gateway.upload(taskId, file, file.name));
  return stored;
}

export function sizeOf(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  if (bytes < 1024 * 1024) return `${Math.round(bytes / 1024)} KB`;
  return `${(bytes / 1024 / 1024).toFixed(1)} MB`;
}
