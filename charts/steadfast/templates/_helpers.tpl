{{/* Names, labels and settings that more than one template needs. */}}

{{- define "steadfast.fullname" -}}
{{- .Values.fullnameOverride | default .Release.Name | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "steadfast.installId" -}}
{{- .Values.installId | default .Release.Name }}
{{- end }}

{{/* (dict "root" $ "component" "operator") */}}
{{- define "steadfast.selectorLabels" -}}
app.kubernetes.io/name: steadfast
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "steadfast.labels" -}}
{{ include "steadfast.selectorLabels" . }}
app.kubernetes.io/part-of: steadfast
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{/* (dict "root" $ "repository" "steadfast/operator" "tag" "") */}}
{{- define "steadfast.image" -}}
{{- $registry := required "images.registry is required: the registry that holds Steadfast's images" .root.Values.images.registry }}
{{- $tag := .tag | default .root.Values.images.tag | default .root.Chart.AppVersion }}
{{- printf "%s/%s%s%s" (trimSuffix "/" $registry) .repository (ternary "" ":" (hasPrefix "@" $tag)) $tag }}
{{- end }}

{{- define "steadfast.workerImage" -}}
{{- .Values.worker.image | default (include "steadfast.image" (dict "root" . "repository" "steadfast/worker" "tag" "")) }}
{{- end }}

{{- define "steadfast.temporalAddress" -}}
{{- required "temporal.address is required: host:port of the Temporal frontend" .Values.temporal.address }}
{{- end }}

{{- define "steadfast.redisUrl" -}}
{{- required "redis.url or redis.urlSecret.name is required" .Values.redis.url }}
{{- end }}

{{/* What both programs are told. (dict "root" $ "settings" .Values.operator) */}}
{{- define "steadfast.commonEnv" -}}
- name: TEMPORAL_ADDRESS
  value: {{ include "steadfast.temporalAddress" .root | quote }}
- name: TEMPORAL_NAMESPACE
  value: {{ .root.Values.temporal.namespace | quote }}
- name: STEADFAST_LOG_LEVEL
  value: {{ .settings.logLevel | quote }}
- name: STEADFAST_LOG_FORMAT
  value: {{ .settings.logFormat | quote }}
{{- with .root.Values.telemetry.otlpEndpoint }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ . | quote }}
{{- end }}
- name: STEADFAST_CAPTURE_CONTENT
  value: {{ .root.Values.telemetry.captureContent | quote }}
{{- end }}

{{/* What the operator gives every worker, beyond its own wiring. */}}
{{- define "steadfast.workerArguments" -}}
{{- range .Values.worker.extraEnv }}
- {{ printf "--worker-env=%s=%s" .name .value | quote }}
{{- end }}
{{- range .Values.worker.secretEnv }}
- {{ printf "--worker-secret-env=%s=%s/%s" .name .secretName .secretKey | quote }}
{{- end }}
{{- with .Values.temporal.apiKeySecret }}
{{- if .name }}
- {{ printf "--worker-secret-env=TEMPORAL_API_KEY=%s/%s" .name .key | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* Where pods go and how, for both Deployments. */}}
{{- define "steadfast.scheduling" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{- define "steadfast.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "steadfast.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "steadfast.probes" -}}
livenessProbe:
  httpGet:
    path: /livez
    port: admin
  periodSeconds: 10
  failureThreshold: 3
readinessProbe:
  httpGet:
    path: /readyz
    port: admin
  periodSeconds: 3
  failureThreshold: 2
{{- end }}
