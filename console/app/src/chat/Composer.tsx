// Where a message is written. Enter sends it, Shift+Enter begins a new line.

import { useEffect, useId, useRef, useState } from "react";

/** The longest message that the gateway takes, in bytes. */
const MAX_MESSAGE_BYTES = 1024 * 1024;

interface Props {
  label: string;
  placeholder: string;
  disabled: boolean;
  onSend: (text: string) => void;
  autoFocus?: boolean;
}

export function Composer({ label, placeholder, disabled, onSend, autoFocus = false }: Props) {
  const id = useId();
  const [text, setText] = useState("");
  const input = useRef<HTMLTextAreaElement>(null);
  const tooLong = text.length > MAX_MESSAGE_BYTES / 4 && new TextEncoder().encode(text).length > MAX_MESSAGE_BYTES;
  useEffect(() => {
    const element = input.current;
    if (!element) return;
    element.style.height = "auto";
    element.style.height = `${Math.min(element.scrollHeight, 240)}px`;
  }, [text]);
  const send = () => {
    if (disabled || tooLong || text.trim() === "") return;
    onSend(text);
    setText("");
  };
  return (
    <form
      className="flex items-end gap-2"
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      <label htmlFor={id} className="sr-only">{label}</label>
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
          onKeyDown={(event) => {
            if (event.key === "Enter" && !event.shiftKey && !event.nativeEvent.isComposing) {
              event.preventDefault();
              send();
            }
          }}
        />
        {tooLong && <p role="alert" className="mt-1 text-xs text-bad">A message is at most 1 MiB long.</p>}
      </div>
      <button type="submit" className="button button-primary" disabled={disabled || tooLong || text.trim() === ""}>Send</button>
    </form>
  );
}
