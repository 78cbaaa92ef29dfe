{{/* Names of the operator's objects, and what it is told. */}}

{{- define "heliograph.operator.fullname" -}}
{{- printf "%s-operator" (include "heliograph.fullname" .) -}}
{{- end -}}

{{/* Name of what belongs to no namespace, and so carries it. */}}
{{- define "heliograph.operator.clusterName" -}}
{{- printf "%s-%s" .Release.Namespace (include "heliograph.operator.fullname" .) -}}
{{- end -}}

{{/* The pods of the fleet: the app's selector labels as one text. */}}
{{- define "heliograph.operator.selector" -}}
{{- $labels := include "heliograph.selectorLabels" (dict "context" . "component" "app") | fromYaml -}}
{{- $pairs := list -}}
{{- range $name, $value := $labels -}}
{{- $pairs = append $pairs (printf "%s=%s" $name $value) -}}
{{- end -}}
{{- join "," $pairs -}}
{{- end -}}

{{- define "heliograph.operator.env" -}}
- name: OPERATOR_DEPLOYMENT
  value: {{ include "heliograph.fullname" . }}
- name: OPERATOR_NAMESPACE
  value: {{ .Release.Namespace }}
- name: OPERATOR_SELECTOR
  value: {{ include "heliograph.operator.selector" . | quote }}
- name: OPERATOR_WATCH_NODES
  value: {{ .Values.operator.watchNodes | quote }}
- name: OPERATOR_METRICS_PORT
  value: {{ include "heliograph.metricsPort" . | quote }}
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: LOG_FORMAT
  value: {{ .Values.settings.LOG_FORMAT | default "json" }}
- name: LOG_LEVEL
  value: {{ .Values.operator.logLevel }}
{{- with .Values.settings.REDIS_KEY_PREFIX }}
- name: REDIS_KEY_PREFIX
  value: {{ . | quote }}
{{- end }}
{{ include "heliograph.redis.address" . | trim }}
{{- end -}}
