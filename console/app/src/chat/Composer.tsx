// Where a message is written. Enter sends it, Shift+Enter begins a new line. Files are chosen, pasted or dropped.

import { useEffect, useId, useRef, useState } from "react";

import { ACCEPT, refusalOf, sizeOf } from "./attachments";

/** The longest message that the gateway takes, in bytes. */
const MAX_MESSAGE_BYTES = 1024 * 1024;

interface Props {
  label: string;
  placeholder: string;
  disabled: boolean;
  onSend: (text: string, files: File[]) => void;
  autoFocus?: boolean;
}

export function Composer({ label, placeholder, disabled, onSend, autoFocus = false }: Props) {
  const id = useId();
  const [text, setText] = useState("");
  const [files, setFiles] = useState<File[]>([]);
  const input = useRef<HTMLTextAreaElement>(null);
  const chooser = useRef<HTMLInputElement>(null);
  const tooLong = text.length > MAX_MESSAGE_BYTES / 4 && new TextEncoder().encode(text).length > MAX_MESSAGE_BYTES;
  const refusal = tooLong ? "A message is at most 1 MiB long." : refusalOf(files);
  const ready = !disabled && refusal === undefined && (text.trim() !== "" || files.length > 0);
  useEffect(() => {
    const element = input.current;
    if (!element) return;
    element.style.height = "auto";
    element.style.height = `${Math.min(element.scrollHeight, 240)}px`;
  }, [text]);
  const send = () => {
    if (!ready) return;
    onSend(text, files);
    setText("");
    setFiles([]);
  };
  const add = (list: FileList | null) => {
    // The list of an input is emptied with it, before the state is made.
    const chosen = [...(list ?? [])];
    if (!disabled && chosen.length > 0) setFiles((before) => [...before, ...chosen]);
  };
  return (
    <form
      className="grid gap-2"
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
      onDragOver={(event) => {
        if (!event.dataTransfer.types.includes("Files")) return;
        // Without this the browser would open the file in place of the page.
        event.preventDefault();
        event.dataTransfer.dropEffect = disabled ? "none" : "copy";
      }}
      onDrop={(event) => {
        if (event.dataTransfer.files.length === 0) return;
        event.preventDefault();
        add(event.dataTransfer.files);
      }}
    >
      <Chosen files={files} onRemove={(place) => setFiles((before) => before.filter((_, other) => other !== place))} />
      <div className="flex items-end gap-2">
        <label htmlFor={id} className="sr-only">{label}</label>
        <input
          ref={chooser}
          type="file"
          multiple
          hidden
          disabled={disabled}
          accept={ACCEPT}
          aria-label="Files to attach"
          onChange={(event) => {
            add(event.target.files);
            // The same file may be chosen again after it was removed.
            event.target.value = "";
          }}
        />
        <button type="button" className="button" disabled={disabled} aria-label="Attach files" title="Attach files" onClick={() => chooser.current?.click()}>
          <span aria-hidden="true">+</span>
        </button>
        <div className="min-w-0 flex-1">
          <textarea
            id={id}
            ref={input}
            rows={1}
            className="field block resize-none"
            placeholder={placeholder}
            value={text}
            disabled={disabled}
            autoFocus={autoFocus}
            aria-invalid={tooLong || undefined}
            onChange={(event) => setText(event.target.value)}
            onPaste={(event) => {
              if (event.clipboardData.files.length === 0) return;
              event.preventDefault();
              add(event.clipboardData.files);
            }}
            onKeyDown={(event) => {
              if (event.key === "Enter" && !event.shiftKey && !event.nativeEvent.isComposing) {
                event.preventDefault();
                send();
              }
            }}
          />
        </div>
        <button type="submit" className="button button-primary" disabled={!ready}>Send</button>
      </div>
      {refusal && <p role="alert" className="text-xs text-bad">{refusal}</p>}
    </form>
  );
}

function Chosen({ files, onRemove }: { files: File[]; onRemove: (place: number) => void }) {
  if (files.length === 0) return null;
  return (
    <ul aria-label="Files of the message" className="flex flex-wrap gap-2">
      {files.map((file, place) => (
        <li key={`${place}/${file.name}`} className="flex max-w-full items-center gap-2 rounded-md border border-line bg-card py-1 pl-3 text-sm">
          <span className="truncate">{file.name}</span>
          <span className="text-xs text-soft">{sizeOf(file.size)}</span>
          <button type="button" className="px-2" aria-label={`Remove ${file.name}`} onClick={() => onRemove(place)}>×</button>
        </li>
      ))}
    </ul>
  );
}
