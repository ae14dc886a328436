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

{{/* The variables that come from Secrets, as a list of {variable, name, key}. */}}
{{- define "steadfast.temporalSecrets" -}}
{{- with .Values.temporal }}
{{- include "steadfast.secretVariable" (dict "variable" "TEMPORAL_API_KEY" "name" .apiKeySecret.name "key" .apiKeySecret.key) }}
{{- include "steadfast.tlsSecrets" (dict "prefix" "TEMPORAL_TLS" "ca" "SERVER_CA_CERT" "tls" .tls) }}
{{- end }}
{{- end }}

{{/* The same for Redis, without the URL. */}}
{{- define "steadfast.redisSecrets" -}}
{{- with .Values.redis }}
{{- include "steadfast.secretVariable" (dict "variable" "REDIS_PASSWORD" "name" .auth.passwordSecret.name "key" .auth.passwordSecret.key) }}
{{- include "steadfast.secretVariable" (dict "variable" "REDIS_SENTINEL_PASSWORD" "name" .sentinel.passwordSecret.name "key" .sentinel.passwordSecret.key) }}
{{- include "steadfast.tlsSecrets" (dict "prefix" "REDIS_TLS" "ca" "CA_CERT" "tls" .tls) }}
{{- end }}
{{- end }}

{{/* The way out of the cluster: variables from Secrets, and the others. */}}
{{- define "steadfast.outboundSecrets" -}}
{{- with .Values.outbound }}
{{- include "steadfast.secretVariable" (dict "variable" "STEADFAST_HTTPS_PROXY" "name" .proxySecret.name "key" .proxySecret.key) }}
{{- include "steadfast.secretVariable" (dict "variable" "STEADFAST_HTTP_PROXY" "name" .proxySecret.name "key" .proxySecret.key) }}
{{- include "steadfast.secretVariable" (dict "variable" "STEADFAST_CA_BUNDLE" "name" .caBundleSecret.name "key" .caBundleSecret.key) }}
{{- end }}
{{- end }}

{{- define "steadfast.outboundVariables" -}}
{{- with .Values.outbound }}
{{- if not .proxySecret.name }}
{{- with .httpsProxy }}
- {variable: STEADFAST_HTTPS_PROXY, value: {{ . | quote }}}
{{- end }}
{{- with .httpProxy }}
- {variable: STEADFAST_HTTP_PROXY, value: {{ . | quote }}}
{{- end }}
{{- end }}
{{- if or .proxySecret.name .httpsProxy .httpProxy }}
- {variable: STEADFAST_NO_PROXY, value: {{ .noProxy | quote }}}
{{- end }}
{{- end }}
{{- end }}

{{/* The store of attachments: its variables, and those from Secrets. */}}
{{- define "steadfast.attachmentVariables" -}}
{{- with .Values.attachments }}
{{- if .url }}
- {variable: STEADFAST_ATTACHMENTS_URL, value: {{ .url | quote }}}
{{- with .region }}
- {variable: STEADFAST_ATTACHMENTS_AWS_REGION, value: {{ . | quote }}}
{{- end }}
{{- with .endpoint }}
- {variable: STEADFAST_ATTACHMENTS_AWS_ENDPOINT_URL, value: {{ . | quote }}}
{{- end }}
{{- else if or .region .endpoint .credentialsSecret.name }}
{{- fail "attachments.region, endpoint and credentialsSecret need attachments.url: the bucket" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "steadfast.attachmentSecrets" -}}
{{- with .Values.attachments.credentialsSecret }}
{{- include "steadfast.secretVariable" (dict "variable" "STEADFAST_ATTACHMENTS_AWS_ACCESS_KEY_ID" "name" .name "key" .accessKeyIdKey) }}
{{- include "steadfast.secretVariable" (dict "variable" "STEADFAST_ATTACHMENTS_AWS_SECRET_ACCESS_KEY" "name" .name "key" .secretAccessKeyKey) }}
{{- end }}
{{- end }}

{{- define "steadfast.tlsSecrets" -}}
{{- $client := .tls.clientCertificateSecret }}
{{- include "steadfast.secretVariable" (dict "variable" (printf "%s_%s_DATA" .prefix .ca) "name" .tls.caSecret.name "key" .tls.caSecret.key) }}
{{- include "steadfast.secretVariable" (dict "variable" (printf "%s_CLIENT_CERT_DATA" .prefix) "name" $client.name "key" $client.certificateKey) }}
{{- include "steadfast.secretVariable" (dict "variable" (printf "%s_CLIENT_KEY_DATA" .prefix) "name" $client.name "key" $client.privateKeyKey) }}
{{- end }}

{{- define "steadfast.secretVariable" -}}
{{- if .name }}
- {variable: {{ .variable | quote }}, name: {{ .name | quote }}, key: {{ .key | quote }}}
{{- end }}
{{- end }}

{{/* Such a list as the environment of a container. */}}
{{- define "steadfast.secretEnv" -}}
{{- range fromYamlArray . }}
- name: {{ .variable }}
  valueFrom:
    secretKeyRef:
      name: {{ .name }}
      key: {{ .key }}
{{- end }}
{{- end }}

{{/* What both programs are told. (dict "root" $ "settings" .Values.operator) */}}
{{- define "steadfast.commonEnv" -}}
- name: TEMPORAL_ADDRESS
  value: {{ include "steadfast.temporalAddress" .root | quote }}
- name: TEMPORAL_NAMESPACE
  value: {{ .root.Values.temporal.namespace | quote }}
{{- if .root.Values.temporal.tls.enabled }}
- name: TEMPORAL_TLS
  value: "true"
{{- end }}
{{- with .root.Values.temporal.tls.serverName }}
- name: TEMPORAL_TLS_SERVER_NAME
  value: {{ . | quote }}
{{- end }}
{{- include "steadfast.secretEnv" (include "steadfast.temporalSecrets" .root) }}
{{- if .root.Values.encryption.keysSecret }}
- name: STEADFAST_ENCRYPTION_KEYS_PATH
  value: /etc/steadfast/encryption-keys
{{- with .root.Values.encryption.activeKeyId }}
- name: STEADFAST_ENCRYPTION_KEY_ID
  value: {{ . | quote }}
{{- end }}
{{- else if .root.Values.encryption.activeKeyId }}
{{- fail "encryption.activeKeyId needs encryption.keysSecret: the Secret that holds the key" }}
{{- end }}
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
{{- range fromYamlArray (include "steadfast.outboundVariables" .root) }}
- name: {{ .variable }}
  value: {{ .value | quote }}
{{- end }}
{{- include "steadfast.secretEnv" (include "steadfast.outboundSecrets" .root) }}
{{- end }}

{{/* What the operator gives every worker, beyond its own wiring. */}}
{{- define "steadfast.workerArguments" -}}
{{- range .Values.worker.extraEnv }}
- {{ printf "--worker-env=%s=%s" .name .value | quote }}
{{- end }}
{{- range .Values.worker.secretEnv }}
- {{ printf "--worker-secret-env=%s=%s/%s" .name .secretName .secretKey | quote }}
{{- end }}
{{- with .Values.redis.auth.username }}
- {{ printf "--worker-env=REDIS_USERNAME=%s" . | quote }}
{{- end }}
{{- with .Values.redis.sentinel.username }}
- {{ printf "--worker-env=REDIS_SENTINEL_USERNAME=%s" . | quote }}
{{- end }}
{{- range concat (include "steadfast.outboundVariables" . | fromYamlArray) (include "steadfast.attachmentVariables" . | fromYamlArray) }}
- {{ printf "--worker-env=%s=%s" .variable .value | quote }}
{{- end }}
{{- range concat (include "steadfast.temporalSecrets" . | fromYamlArray) (include "steadfast.redisSecrets" . | fromYamlArray) (include "steadfast.outboundSecrets" . | fromYamlArray) (include "steadfast.attachmentSecrets" . | fromYamlArray) }}
- {{ printf "--worker-secret-env=%s=%s/%s" .variable .name .key | quote }}
{{- end }}
{{- end }}

{{/* Where pods go and how, for both Deployments. (dict "root" $ "component" "operator" "settings" .Values.operator) */}}
{{- define "steadfast.scheduling" -}}
{{- $labels := include "steadfast.selectorLabels" . | fromYaml }}
{{- with .settings }}
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
topologySpreadConstraints:
{{- range .topologySpreadConstraints }}
- {{- merge (dict) . (dict "labelSelector" (dict "matchLabels" $labels)) | toYaml | nindent 2 }}
{{- else }}
{{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
- maxSkew: 1
  topologyKey: {{ . }}
  whenUnsatisfiable: ScheduleAnyway
  # Pods of the version before do not count while a new one is rolled out.
  matchLabelKeys: [pod-template-hash]
  labelSelector:
    matchLabels:
      {{- toYaml $labels | nindent 6 }}
{{- end }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{/* What streams need of a controller, as the annotations of an Ingress: no buffering, long timeouts. The gateway limits bodies itself. */}}
{{- define "steadfast.ingressAnnotations" -}}
{{- if eq . "ingress-nginx" }}
nginx.ingress.kubernetes.io/proxy-buffering: "off"
nginx.ingress.kubernetes.io/proxy-read-timeout: "3600"
nginx.ingress.kubernetes.io/proxy-send-timeout: "3600"
nginx.ingress.kubernetes.io/proxy-body-size: "0"
{{- else if eq . "f5-nginx" }}
nginx.org/proxy-buffering: "False"
nginx.org/proxy-read-timeout: 3600s
nginx.org/proxy-send-timeout: 3600s
nginx.org/client-max-body-size: "0"
{{- end }}
{{- end }}

{{/* Rules for connections that the operator and the gateway open. */}}
{{- define "steadfast.egress" -}}
{{- $egress := .Values.networkPolicy.egress }}
{{- include "steadfast.egressRule" (dict "peers" $egress.dns "ports" (list "53/UDP" "53/TCP" "5353/UDP" "5353/TCP")) }}
{{- include "steadfast.egressRule" (dict "peers" $egress.temporal "ports" (include "steadfast.portsOf" (include "steadfast.temporalAddress" .) | fromYamlArray)) }}
{{- include "steadfast.egressRule" (dict "peers" $egress.apiServer "ports" $egress.apiServerPorts) }}
{{- $others := list }}
{{- range list .Values.telemetry.otlpEndpoint .Values.outbound.httpsProxy .Values.outbound.httpProxy .Values.gateway.oidc.issuer }}
{{- with . }}
{{- $others = concat $others (include "steadfast.portsOf" . | fromYamlArray) }}
{{- end }}
{{- end }}
{{- with uniq $others }}
{{- include "steadfast.egressRule" (dict "peers" list "ports" .) }}
{{- end }}
{{- with $egress.extra }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* (dict "peers" (list) "ports" (list 443 "53/UDP")): one rule. TCP where no protocol is named. */}}
{{- define "steadfast.egressRule" }}
- ports:
  {{- range .ports }}
  {{- $parts := splitList "/" (toString .) }}
  - port: {{ first $parts }}
    protocol: {{ eq (len $parts) 2 | ternary (last $parts) "TCP" }}
  {{- end }}
  {{- with .peers }}
  to:
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* The ports in an address or a URL, which may name several hosts; else that of its scheme. */}}
{{- define "steadfast.portsOf" -}}
{{- $scheme := regexFind "^[a-z-]+://" . | trimSuffix "://" }}
{{- $hosts := regexReplaceAll "^[a-z-]+://([^/?]*@)?" . "" | splitList "/" | first | splitList "?" | first }}
{{- $usual := dict "http" 80 "https" 443 "redis" 6379 "rediss" 6379 "redis-sentinel" 26379 "rediss-sentinel" 26379 }}
{{- range splitList "," $hosts }}
- {{ regexFind ":[0-9]+$" . | trimPrefix ":" | default (get $usual $scheme) | int }}
{{- end }}
{{- if hasSuffix "-sentinel" $scheme }}
- 6379
{{- end }}
{{- end }}

{{/* The ports of Redis and of its Sentinels. */}}
{{- define "steadfast.redisPorts" -}}
{{- if .Values.networkPolicy.egress.redisPorts }}
{{- toYaml .Values.networkPolicy.egress.redisPorts }}
{{- else if .Values.redis.urlSecret.name }}
{{- toYaml (list 6379 26379) }}
{{- else }}
{{- include "steadfast.portsOf" (include "steadfast.redisUrl" .) }}
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

{{/* Without ClusterRoles, every permission stands in a namespace that is named. */}}
{{- define "steadfast.checkClusterRoles" -}}
{{- if not (or .Values.rbac.clusterRoles .Values.operator.watchNamespaces) }}
{{- fail "rbac.clusterRoles: false needs operator.watchNamespaces: the namespaces in which the chart makes Roles instead" }}
{{- end }}
{{- end }}

{{/* What the operator may do where Agents are. */}}
{{- define "steadfast.operatorRules" }}
# What users write.
- apiGroups: [steadfast.dev]
  resources: [agents, agenttools, workerpools, agentreferencegrants]
  verbs: [get, list, watch]
# The finalizer of Agents with spec.deletion.
- apiGroups: [steadfast.dev]
  resources: [agents]
  verbs: [patch]
- apiGroups: [steadfast.dev]
  resources: [agents/status, agenttools/status, workerpools/status]
  verbs: [get, patch]
- apiGroups: [steadfast.dev]
  resources: [agents/finalizers, workerpools/finalizers]
  verbs: [update]
# What the operator makes of it.
- apiGroups: [steadfast.dev]
  resources: [agentrevisions]
  verbs: [get, list, watch, create, delete]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [roles, rolebindings]
  verbs: [get, list, watch, create, patch, delete]
# What Agents refer to, and what became of their workers.
- apiGroups: [""]
  resources: [secrets, configmaps, pods]
  verbs: [get, list, watch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}

{{/* What the gateway may do where Agents are. */}}
{{- define "steadfast.gatewayRules" }}
- apiGroups: [steadfast.dev]
  resources: [agents]
  verbs: [get, list, watch]
# The annotation that wakes an Agent without workers; the ValidatingAdmissionPolicy of the gateway allows nothing else.
- apiGroups: [steadfast.dev]
  resources: [agents]
  verbs: [patch]
# May a caller do this in the namespace?
- apiGroups: [authorization.k8s.io]
  resources: [localsubjectaccessreviews]
  verbs: [create]
{{- end }}

{{/* How the gateway knows its callers, what they may send, and what lies before it. */}}
{{- define "steadfast.accessEnv" -}}
{{- $oidc := .Values.gateway.oidc }}
{{- if and $oidc.issuer (not $oidc.audiences) }}
{{- fail "gateway.oidc.audiences is required with gateway.oidc.issuer: the client ids whose tokens are accepted" }}
{{- end }}
{{- if and $oidc.clientId (not (has $oidc.clientId $oidc.audiences)) }}
{{- fail "gateway.oidc.clientId must be among gateway.oidc.audiences, with gateway.oidc.issuer: an ID token is for the client that it was given to" }}
{{- end }}
{{- $proxy := .Values.gateway.proxySignIn }}
{{- if and $proxy.userHeader (not .Values.gateway.trustedProxies) }}
{{- fail "gateway.trustedProxies is required with gateway.proxySignIn.userHeader: the networks of the proxies whose word is taken" }}
{{- end }}
{{- if and $proxy.groupsHeader (not $proxy.userHeader) }}
{{- fail "gateway.proxySignIn.userHeader is required with gateway.proxySignIn.groupsHeader" }}
{{- end }}
{{- with .Values.gateway.apiKeys.secretNames }}
- name: STEADFAST_API_KEY_SECRETS
  value: {{ join "," . | quote }}
{{- end }}
{{- if $oidc.issuer }}
- name: STEADFAST_OIDC_ISSUER
  value: {{ $oidc.issuer | quote }}
- name: STEADFAST_OIDC_AUDIENCES
  value: {{ join "," $oidc.audiences | quote }}
- name: STEADFAST_OIDC_USERNAME_CLAIM
  value: {{ $oidc.usernameClaim | quote }}
{{- with $oidc.usernamePrefix }}
- name: STEADFAST_OIDC_USERNAME_PREFIX
  value: {{ . | quote }}
{{- end }}
{{- with $oidc.groupsClaim }}
- name: STEADFAST_OIDC_GROUPS_CLAIM
  value: {{ . | quote }}
{{- end }}
{{- with $oidc.groupsPrefix }}
- name: STEADFAST_OIDC_GROUPS_PREFIX
  value: {{ . | quote }}
{{- end }}
{{- with $oidc.clientId }}
- name: STEADFAST_OIDC_CLIENT_ID
  value: {{ . | quote }}
- name: STEADFAST_OIDC_SCOPES
  value: {{ join "," $oidc.scopes | quote }}
{{- end }}
{{- end }}
{{- with $proxy.userHeader }}
- name: STEADFAST_PROXY_USER_HEADER
  value: {{ . | quote }}
{{- end }}
{{- with $proxy.groupsHeader }}
- name: STEADFAST_PROXY_GROUPS_HEADER
  value: {{ . | quote }}
{{- end }}
{{- with .Values.gateway.limits }}
- name: STEADFAST_REQUESTS_PER_SECOND
  value: {{ int64 .requestsPerSecond | quote }}
- name: STEADFAST_REQUEST_BURST
  value: {{ int64 .requestBurst | quote }}
- name: STEADFAST_BODY_KIB_PER_SECOND
  value: {{ int64 .bodyKibPerSecond | quote }}
- name: STEADFAST_BODY_KIB_BURST
  value: {{ int64 .bodyKibBurst | quote }}
{{- end }}
{{- with .Values.gateway.trustedProxies }}
- name: STEADFAST_TRUSTED_PROXIES
  value: {{ join "," . | quote }}
{{- end }}
{{- with .Values.gateway.pathPrefix }}
- name: STEADFAST_PATH_PREFIX
  value: {{ . | quote }}
{{- end }}
{{- with .Values.gateway.corsOrigins }}
- name: STEADFAST_CORS_ORIGINS
  value: {{ join "," . | quote }}
{{- end }}
{{- end }}

{{/* The ConfigMap with the prices of models; empty where there are none. */}}
{{- define "steadfast.modelPrices" -}}
{{- $prices := .Values.gateway.modelPrices }}
{{- if and $prices.models $prices.configMapName }}
{{- fail "gateway.modelPrices: set models or configMapName, not both" }}
{{- end }}
{{- if $prices.configMapName }}
{{- $prices.configMapName }}
{{- else if $prices.models }}
{{- include "steadfast.fullname" . }}-model-prices
{{- end }}
{{- end }}

{{/* The volume with the encryption keys, and where it is mounted. */}}
{{- define "steadfast.encryptionVolume" -}}
- name: encryption-keys
  secret:
    secretName: {{ .Values.encryption.keysSecret }}
{{- end }}

{{- define "steadfast.encryptionMount" -}}
- name: encryption-keys
  mountPath: /etc/steadfast/encryption-keys
  readOnly: true
{{- end }}

{{/* The peers that may read metrics, as the `from` of an ingress rule. */}}
{{- define "steadfast.metricsIngress" -}}
{{- with .Values.networkPolicy.metricsFrom }}
- from:
  {{- toYaml . | nindent 2 }}
  ports:
  - port: admin
{{- end }}
{{- end }}
