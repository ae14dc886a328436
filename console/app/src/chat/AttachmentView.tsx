// An image or a file of a message. Bytes come from the gateway with the user's own rights; what is elsewhere is named
// and never fetched.

import type { MessageAttachment } from "@steadfast/client";
import { useEffect, useState } from "react";

import { useSession } from "../state/session";
import { sizeOf } from "./attachments";

/** What the page shows by itself. An image that can hold scripts is not among them. */
const SHOWN = new Set(["image/png", "image/jpeg", "image/gif", "image/webp"]);

export function AttachmentView({ taskId, attachment }: { taskId: string; attachment: MessageAttachment }) {
  const { source } = attachment;
  if ("url" in source) {
    return <p className="text-sm wrap-anywhere">{attachment.kind === "image" ? "Image" : "File"} at {source.url}</p>;
  }
  const { sha256, size_bytes: bytes } = source.stored;
  const name = attachment.name || attachment.kind;
  if (SHOWN.has(attachment.media_type ?? "")) return <StoredImage taskId={taskId} fileId={sha256} name={name} />;
  return <StoredFile taskId={taskId} fileId={sha256} name={name} bytes={bytes} />;
}

function StoredImage({ taskId, fileId, name }: { taskId: string; fileId: string; name: string }) {
  const { gateway } = useSession();
  const [state, setState] = useState<{ url?: string; error?: string }>({});
  useEffect(() => {
    const stop = new AbortController();
    let url: string | undefined;
    gateway
      .attachment(taskId, fileId, stop.signal)
      .then((blob) => {
        if (stop.signal.aborted) return;
        url = URL.createObjectURL(blob);
        setState({ url });
      })
      .catch((error: Error) => {
        if (!stop.signal.aborted) setState({ error: error.message });
      });
    return () => {
      stop.abort();
      if (url) URL.revokeObjectURL(url);
    };
  }, [gateway, taskId, fileId]);
  if (state.error !== undefined) return <p className="text-sm text-soft wrap-anywhere">{name}: {state.error}</p>;
  // The place is kept while the bytes come, so that nothing below it moves.
  return (
    <div className="flex h-48 items-center justify-center rounded-md border border-line bg-card">
      {state.url && <img src={state.url} alt={name} className="max-h-full max-w-full object-contain" />}
    </div>
  );
}

function StoredFile({ taskId, fileId, name, bytes }: { taskId: string; fileId: string; name: string; bytes: number }) {
  const { gateway } = useSession();
  const [problem, setProblem] = useState<string>();
  const save = async () => {
    setProblem(undefined);
    try {
      const url = URL.createObjectURL(await gateway.attachment(taskId, fileId));
      const link = document.createElement("a");
      link.href = url;
      link.download = name;
      link.click();
      URL.revokeObjectURL(url);
    } catch (error) {
      setProblem(error instanceof Error ? error.message : String(error));
    }
  };
  return (
    <div>
      <button type="button" className="button max-w-full" onClick={() => void save()}>
        <span className="sr-only">Save </span>
        <span className="truncate">{name}</span>
        <span className="text-soft">{sizeOf(bytes)}</span>
      </button>
      {problem && <p role="alert" className="mt-1 text-xs text-bad">{problem}</p>}
    </div>
  );
}
