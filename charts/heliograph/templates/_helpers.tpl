{{/*
Names, labels, images and security contexts that every component uses.
*/}}

{{- define "heliograph.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/*
The release's name when it contains the chart's, else RELEASE-heliograph. 40 characters at most:
a pod of a StatefulSet adds up to 23 to it, and a label has 63.
*/}}
{{- define "heliograph.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "heliograph.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Called with (dict "context" $ "component" "app"). */}}
{{- define "heliograph.selectorLabels" -}}
app.kubernetes.io/name: {{ include "heliograph.name" .context }}
app.kubernetes.io/instance: {{ .context.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/*
Called with (dict "context" $ "component" "app"). Without the chart's version, and the app's only on
what is released with it: they would roll other pods, such as those of Redis, for nothing.
*/}}
{{- define "heliograph.labels" -}}
{{ include "heliograph.selectorLabels" . }}
{{- if has .component (list "app" "migrate" "test" "operator") }}
app.kubernetes.io/version: {{ .context.Chart.AppVersion | quote }}
{{- end }}
app.kubernetes.io/managed-by: {{ .context.Release.Service }}
{{- with .context.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/*
repository:tag, or repository@digest. Called with (dict "image" .Values.x.image "context" $);
an image without a tag has the chart's appVersion.
*/}}
{{- define "heliograph.image" -}}
{{- if .image.digest -}}
{{- printf "%s@%s" .image.repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" .image.repository (.image.tag | default .context.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- define "heliograph.imagePullSecrets" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ .name }}
  {{- end }}
{{- end }}
{{- end -}}

{{/*
What the restricted Pod Security Standard asks of a pod. Called with (dict "uid" 10001).
OnRootMismatch: a volume with many files is not walked at each start.
*/}}
{{- define "heliograph.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: {{ .uid }}
runAsGroup: {{ .uid }}
fsGroup: {{ .uid }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* The same of a container. Called with (dict "uid" 10001). */}}
{{- define "heliograph.containerSecurityContext" -}}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
privileged: false
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: {{ .uid }}
runAsGroup: {{ .uid }}
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "heliograph.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "heliograph.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{/* Whether a Redis of any kind is in use: "true", or empty. */}}
{{- define "heliograph.hasRedis" -}}
{{- if .Values.redis.enabled }}true{{ end -}}
{{- end -}}

{{/* What the database is: postgresql (bundled), external, or sqlite. */}}
{{- define "heliograph.databaseKind" -}}
{{- if .Values.postgresql.enabled -}}postgresql
{{- else if or .Values.externalDatabase.url .Values.externalDatabase.existingSecret -}}external
{{- else -}}sqlite
{{- end -}}
{{- end -}}

{{/* The most replicas there may be. */}}
{{- define "heliograph.maxReplicas" -}}
{{- if .Values.autoscaling.enabled }}{{ .Values.autoscaling.maxReplicas }}{{ else }}{{ .Values.app.replicas }}{{ end -}}
{{- end -}}

{{/* The fewest replicas there may be. */}}
{{- define "heliograph.minReplicas" -}}
{{- if .Values.autoscaling.enabled }}{{ .Values.autoscaling.minReplicas }}{{ else }}{{ .Values.app.replicas }}{{ end -}}
{{- end -}}
