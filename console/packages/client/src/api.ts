// The shapes of the gateway's HTTP API, by the names that its OpenAPI document gives them.

import type { components } from "./openapi.js";

type Schemas = components["schemas"];

export type Agent = Schemas["Agent"];
export type AgentStatus = Schemas["AgentStatus"];
export type Fleet = Schemas["Fleet"];
export type FleetFigures = Schemas["FleetFigures"];
export type FleetInterval = Schemas["IntervalFigures"];
export type ModelPrice = Schemas["ModelPrice"];
export type PriceList = Schemas["PriceList"];
/** Links to what others show of a task, and the prices of models. */
export type TaskObservability = Schemas["TaskObservability"];
export type ApiErrorBody = Schemas["Error"];
/** An approval as `GET /approvals` lists it. */
export type ListedApproval = Schemas["Approval"];
/** An attachment as an upload answers it, and as a message takes it. */
export type Attachment = Schemas["Attachment"];
export type ListedMessage = Schemas["TaskMessage"];
export type MessagePage = Schemas["CursorPage"];
/** How people sign in at a gateway. */
export type SignIn = Schemas["SignIn"];
export type Task = Schemas["Task"];
export type TaskSummary = Schemas["TaskSummary"];
