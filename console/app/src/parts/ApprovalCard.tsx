// One approval: what is asked, exactly what would run, and the decision. The same card in the inbox and in a chat.

import { answerOf, ApiError, fieldOf, initialValues, type Approval, type Decision, type JsonValue } from "@steadfast/client";
import { useEffect, useId, useMemo, useState } from "react";

import { clockTime, duration, useNow } from "../state/time";
import { useSession } from "../state/session";
import { linkTo } from "../state/route";
import { ArgumentsView } from "./ArgumentsView";
import { JsonText } from "./DataView";
import { Badge, Notice, type Tone } from "./feedback";
import { SchemaForm } from "./SchemaForm";

/** The gateway cuts longer reasons. */
const MAX_REASON_CHARS = 1000;
/** From here on, the time that is left is a warning. */
const SOON_MS = 5 * 60_000;

interface Props {
  approval: Approval;
  decision: Decision | undefined;
  /** The turn or the task has ended without a decision. */
  over?: boolean;
  /** The arguments of the call before of the same tool, where they are known. */
  before?: JsonValue | undefined;
  /** The task, where the card does not stand in it. */
  taskId?: string;
  onDecided?: () => void;
}

const KINDS: Record<Approval["kind"], string> = {
  tool_call: "May this call run?",
  question: "The agent asks a question",
  elicitation: "A tool asks for more",
};

export function ApprovalCard({ approval, decision, over = false, before, taskId, onDecided }: Props) {
  const heading = useId();
  const [own, setOwn] = useState<Decision | undefined>();
  const decided = decision ?? own;
  const open = !decided && !over;
  const now = useNow(1000, open && approval.expires_at !== undefined);
  const left = approval.expires_at === undefined ? undefined : Date.parse(approval.expires_at) - now;
  const expired = left !== undefined && left <= 0;
  const whole = useWhole(approval);
  return (
    <section aria-labelledby={heading} className="card border-l-4 border-l-warn p-4" data-approval-id={approval.id}>
      <header className="flex flex-wrap items-center gap-2">
        <h2 id={heading} className="font-semibold">
          {KINDS[approval.kind]} <code className="font-mono text-sm">{approval.tool}</code>
        </h2>
        {open && left !== undefined && !expired && <Badge tone={left < SOON_MS ? "warn" : "plain"}>expires in {duration(left)}</Badge>}
        {open && expired && <Badge tone="bad">expired</Badge>}
      </header>
      <p className="mt-1 text-sm text-soft">
        {approval.agent} asked at <time dateTime={approval.requested_at}>{clockTime(approval.requested_at)}</time>
        {approval.requester ? `, in a turn of ${approval.requester}` : ""}
        {taskId && (
          <>
            {" · "}
            <a className="underline" href={linkTo.task(taskId)}>open the chat</a>
          </>
        )}
      </p>
      {approval.prompt && <p className="mt-2 whitespace-pre-wrap wrap-anywhere">{approval.prompt}</p>}
      <div className="mt-2">
        <ArgumentsView value={whole.approval.arguments} before={before} label={`Arguments of ${approval.tool}`} />
        {whole.error && <Notice tone="bad" title="The arguments cannot be read whole, so this cannot be approved here">{whole.error}</Notice>}
      </div>
      {decided ? (
        <Outcome decision={decided} />
      ) : over ? (
        <Notice tone="plain" title="Withdrawn: the turn ended before a decision" />
      ) : (
        <Decide approval={whole.approval} blocked={whole.loading || whole.error !== undefined} expired={expired} onDecided={(made) => (setOwn(made), onDecided?.())} />
      )}
    </section>
  );
}

/** The approval with all its arguments: lists cut long ones. */
function useWhole(approval: Approval): { approval: Approval; loading: boolean; error: string | undefined } {
  const { gateway } = useSession();
  const [state, setState] = useState<{ id: string; approval?: Approval; error?: string }>();
  const cut = approval.arguments_truncated === true;
  useEffect(() => {
    if (!cut) return;
    const stop = new AbortController();
    gateway
      .approval(approval.id, stop.signal)
      .then((read) => {
        const whole = read as unknown as Approval;
        setState(whole.arguments_truncated ? { id: approval.id, approval: whole, error: "The log and the history no longer have them." } : { id: approval.id, approval: whole });
      })
      .catch((error: Error) => {
        if (!stop.signal.aborted) setState({ id: approval.id, error: error.message });
      });
    return () => stop.abort();
  }, [gateway, approval.id, cut]);
  if (!cut) return { approval, loading: false, error: undefined };
  const known = state?.id === approval.id ? state : undefined;
  return { approval: known?.approval ?? approval, loading: known === undefined, error: known?.error };
}

interface DecideProps {
  approval: Approval;
  blocked: boolean;
  expired: boolean;
  onDecided: (decision: Decision) => void;
}

function Decide({ approval, blocked, expired, onDecided }: DecideProps) {
  const { gateway } = useSession();
  const reasonId = useId();
  const form = useMemo(() => (approval.form == null ? undefined : fieldOf(approval.form)), [approval.form]);
  const [values, setValues] = useState(() => (form ? initialValues(form) : {}));
  const [reason, setReason] = useState("");
  const [busy, setBusy] = useState<"approve" | "reject" | undefined>();
  const [sent, setSent] = useState<string>();
  const [problem, setProblem] = useState<{ message: string; path?: string }>();

  const decide = async (verdict: "approve" | "reject") => {
    let answer: JsonValue | undefined;
    if (verdict === "approve" && form) {
      const read = answerOf(form, values);
      if (!read.ok) return setProblem({ message: read.message, path: JSON.stringify(read.path) });
      answer = read.answer;
    }
    setBusy(verdict);
    setProblem(undefined);
    try {
      const body = reason.trim() ? { reason: reason.trim() } : {};
      const made =
        verdict === "approve"
          ? await gateway.approve(approval.id, answer === undefined ? body : { ...body, answer })
          : await gateway.reject(approval.id, body);
      // Durable, but not taken in: no worker of the agent runs.
      if (made.decision === "pending") return setSent(verdict === "approve" ? "approved" : "rejected");
      onDecided({ verdict: verdict === "approve" ? "approved" : "rejected", by: made.by ?? "", reason: made.reason ?? reason.trim(), at: new Date().toISOString() });
    } catch (error) {
      const earlier = error instanceof ApiError && error.status === 409 ? earlierDecision(error.data) : undefined;
      if (earlier) onDecided(earlier);
      else setProblem({ message: error instanceof Error ? error.message : String(error) });
    } finally {
      setBusy(undefined);
    }
  };

  if (sent) {
    return (
      <div className="mt-3">
        <Notice tone="plain" role="status" title={`You have ${sent} this`}>The decision is stored; the task takes it in when a worker of the agent runs.</Notice>
      </div>
    );
  }
  const [approve, reject] = approval.kind === "tool_call" ? ["Approve", "Reject"] : ["Send the answer", "Decline"];
  return (
    <form className="mt-3 grid gap-3" onSubmit={(event) => (event.preventDefault(), void decide("approve"))}>
      {form && <SchemaForm field={form} values={values} onChange={setValues} wrong={problem?.path} />}
      <div className="grid gap-1">
        <label htmlFor={reasonId} className="text-sm font-medium">Reason <span className="font-normal text-soft">(the agent is told)</span></label>
        <input id={reasonId} className="field" maxLength={MAX_REASON_CHARS} value={reason} onChange={(event) => setReason(event.target.value)} />
      </div>
      {problem && <Notice tone="bad" role="alert" title="The decision was not taken">{problem.message}</Notice>}
      <div className="flex flex-wrap gap-2">
        <button type="submit" className="button button-primary" disabled={blocked || expired || busy !== undefined}>
          {busy === "approve" ? "Sending…" : approve}
        </button>
        <button type="button" className="button button-danger" disabled={expired || busy !== undefined} onClick={() => void decide("reject")}>
          {busy === "reject" ? "Sending…" : reject}
        </button>
      </div>
    </form>
  );
}

/** The decision that came first, in the error of the gateway. */
function earlierDecision(data: unknown): Decision | undefined {
  if (typeof data !== "object" || data === null || !("decision" in data)) return undefined;
  const { decision, by, reason } = data as { decision: unknown; by?: unknown; reason?: unknown };
  if (decision !== "approved" && decision !== "rejected" && decision !== "expired" && decision !== "withdrawn") return undefined;
  return { verdict: decision, by: typeof by === "string" ? by : "", reason: typeof reason === "string" ? reason : "" };
}

const VERDICTS: Record<Decision["verdict"], { tone: Tone; word: string }> = {
  approved: { tone: "good", word: "Approved" },
  rejected: { tone: "bad", word: "Rejected" },
  expired: { tone: "warn", word: "Expired: nobody decided in time" },
  withdrawn: { tone: "plain", word: "Withdrawn: the turn ended before a decision" },
};

function Outcome({ decision }: { decision: Decision }) {
  const { tone, word } = VERDICTS[decision.verdict];
  const by = decision.by ? ` by ${decision.by}` : "";
  return (
    <div className="mt-3 grid gap-2" role="status">
      <Notice tone={tone} title={`${word}${by}`}>
        {decision.reason || (decision.at ? clockTime(decision.at) : undefined)}
      </Notice>
      {decision.answer != null && <JsonText value={decision.answer} label="Answer" />}
    </div>
  );
}

