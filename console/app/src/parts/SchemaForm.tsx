// The fields of a form that a JSON Schema describes.

import { keyOf, type Field, type Values } from "@steadfast/client";
import { useId } from "react";

interface Props {
  field: Field;
  values: Values;
  onChange: (values: Values) => void;
  /** The path of the field that is wrong. */
  wrong: string | undefined;
}

export function SchemaForm({ field, values, onChange, wrong }: Props) {
  if (field.kind !== "group") return <Row field={field} values={values} onChange={onChange} wrong={wrong} />;
  const members = field.fields.map((member) => (
    <SchemaForm key={keyOf(member)} field={member} values={values} onChange={onChange} wrong={wrong} />
  ));
  if (field.path.length === 0) return <div className="grid gap-3">{members}</div>;
  return (
    <fieldset className="grid gap-3 rounded-md border border-line p-3">
      <legend className="px-1 text-sm font-medium">{field.label}</legend>
      {field.help && <p className="text-xs text-soft">{field.help}</p>}
      {members}
    </fieldset>
  );
}

function Row({ field, values, onChange, wrong }: Props & { field: Exclude<Field, { kind: "group" }> }) {
  const id = useId();
  const key = keyOf(field);
  const value = values[key] ?? field.initial;
  const set = (next: string | boolean | string[]) => onChange({ ...values, [key]: next });
  const common = {
    id,
    "aria-invalid": wrong === key || undefined,
    "aria-describedby": field.help ? `${id}-help` : undefined,
    "aria-required": field.required || undefined,
  };
  const label = (
    <>
      {field.label}
      {field.required && <span aria-hidden="true" className="text-bad"> *</span>}
    </>
  );
  const help = field.help ? <p id={`${id}-help`} className="text-xs text-soft">{field.help}</p> : null;
  if (field.kind === "boolean") {
    return (
      <div>
        <label className="inline-flex items-center gap-2 text-sm">
          <input {...common} type="checkbox" className="size-4" checked={value === true} onChange={(event) => set(event.target.checked)} />
          <span>{field.label}</span>
        </label>
        {help}
      </div>
    );
  }
  if (field.kind === "choices") {
    const chosen = Array.isArray(value) ? value : [];
    const toggle = (index: string, on: boolean) => set(on ? [...chosen, index] : chosen.filter((each) => each !== index));
    return (
      <fieldset aria-describedby={common["aria-describedby"]}>
        <legend className="text-sm font-medium">{label}</legend>
        {help}
        {field.options.map((option, index) => (
          <label key={index} className="mr-4 inline-flex items-center gap-2 text-sm">
            <input type="checkbox" className="size-4" checked={chosen.includes(String(index))} onChange={(event) => toggle(String(index), event.target.checked)} />
            <span>{option.label}</span>
          </label>
        ))}
      </fieldset>
    );
  }
  return (
    <div className="grid gap-1">
      <label htmlFor={id} className="text-sm font-medium">{label}</label>
      <Control field={field} common={common} value={String(value)} set={set} />
      {help}
    </div>
  );
}

type Typed = Extract<Field, { kind: "text" | "number" | "choice" | "json" }>;

function Control({ field, common, value, set }: { field: Typed; common: object; value: string; set: (next: string) => void }) {
  const changed = (event: { target: { value: string } }) => set(event.target.value);
  switch (field.kind) {
    case "choice":
      return (
        <select {...common} className="field" value={value} onChange={changed}>
          <option value="">{field.required ? "Choose…" : "—"}</option>
          {field.options.map((option, index) => <option key={index} value={String(index)}>{option.label}</option>)}
        </select>
      );
    case "json":
      return <textarea {...common} className="field font-mono text-[13px]" rows={4} placeholder="JSON" value={value} onChange={changed} />;
    case "number":
      return <input {...common} className="field" type="text" inputMode={field.integer ? "numeric" : "decimal"} value={value} onChange={changed} />;
    case "text":
      return field.long ? (
        <textarea {...common} className="field" rows={2} value={value} onChange={changed} />
      ) : (
        <input {...common} className="field" type={field.input} value={value} onChange={changed} />
      );
  }
}
