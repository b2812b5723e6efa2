{{- define "lull.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 44 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 44 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "lull.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "lull.labels" -}}
{{ include "lull.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "lull.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "lull.container" -}}
name: lull
image: "{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end }}

{{- /* What every process needs to reach the brokers. */ -}}
{{- define "lull.env" -}}
- name: LULL_CONFIG
  value: /etc/lull/lull.yaml
{{- with .Values.credentials }}
{{- if .existingSecret }}
{{- with .saslPasswordKey }}
- name: LULL_SECURITY_SASL_PASSWORD_FILE
  value: /etc/lull-credentials/{{ . }}
{{- end }}
{{- with .saslClientSecretKey }}
- name: LULL_SECURITY_SASL_CLIENT_SECRET_FILE
  value: /etc/lull-credentials/{{ . }}
{{- end }}
{{- with .registryPasswordKey }}
- name: LULL_REGISTRY_PASSWORD_FILE
  value: /etc/lull-credentials/{{ . }}
{{- end }}
{{- with .httpTokensKey }}
- name: LULL_HTTP_TOKENS_FILE
  value: /etc/lull-credentials/{{ . }}
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.tls }}
{{- if .existingSecret }}
{{- with .caKey }}
- name: LULL_SECURITY_TLS_CA_FILE
  value: /etc/lull-tls/{{ . }}
{{- end }}
{{- with .certKey }}
- name: LULL_SECURITY_TLS_CERT_FILE
  value: /etc/lull-tls/{{ . }}
{{- end }}
{{- with .keyKey }}
- name: LULL_SECURITY_TLS_KEY_FILE
  value: /etc/lull-tls/{{ . }}
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "lull.mounts" -}}
- name: config
  mountPath: /etc/lull
  readOnly: true
{{- if .Values.credentials.existingSecret }}
- name: credentials
  mountPath: /etc/lull-credentials
  readOnly: true
{{- end }}
{{- if .Values.tls.existingSecret }}
- name: tls
  mountPath: /etc/lull-tls
  readOnly: true
{{- end }}
{{- end }}

{{- define "lull.volumes" -}}
- name: config
  configMap:
    name: {{ include "lull.name" . }}
{{- with .Values.credentials.existingSecret }}
- name: credentials
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- with .Values.tls.existingSecret }}
- name: tls
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- end }}

{{- define "lull.scheduling" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
