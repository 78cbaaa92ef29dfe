{{/*
What a container of our image needs, wherever it runs: the app, its init container, `helm test`.
*/}}

{{/* Number of the app's metrics port; further workers have those after it. */}}
{{- define "heliograph.metricsPort" -}}9090{{- end -}}

{{/* A value as an environment variable: numbers never in scientific notation, as Go prints them. */}}
{{- define "heliograph.envValue" -}}
{{- if kindIs "string" . }}{{ . }}{{ else }}{{ toJson . }}{{ end -}}
{{- end -}}

{{/* Name of the Secret with WEBUI_SECRET_KEY. */}}
{{- define "heliograph.secretName" -}}
{{- .Values.secrets.existingSecret | default (include "heliograph.fullname" .) -}}
{{- end -}}

{{/*
Name of the sticky cookie that the app expires when it drains; empty where the load balancer's
cookie has a name of its own (alb, gke, agic): those stop following it by themselves.
*/}}
{{- define "heliograph.stickyCookieName" -}}
{{- $named := list "traefik" "haproxy" "haproxytech" "nginx" "nginxinc" -}}
{{- if and .Values.ingress.enabled .Values.ingress.stickyCookie.enabled (has .Values.ingress.controller $named) -}}
{{- .Values.ingress.stickyCookie.name -}}
{{- end -}}
{{- end -}}

{{/* Whether the sticky cookie is for https only: "true", or empty. */}}
{{- define "heliograph.stickyCookieSecure" -}}
{{- $secure := .Values.ingress.stickyCookie.secure -}}
{{- if eq (toString $secure) "auto" }}{{ if .Values.ingress.tls.enabled }}true{{ end }}
{{- else if $secure }}true{{ end -}}
{{- end -}}

{{/*
Attributes with which the cookie is expired: those with which it was set, or browsers keep it. In
a request from another site they accept the expiry only with the same SameSite and Secure.
*/}}
{{- define "heliograph.stickyCookieAttributes" -}}
Path=/
{{- if eq .Values.ingress.controller "haproxytech" }}{{/* it sets none */}}
{{- else -}}
{{- if include "heliograph.stickyCookieSecure" . }}; Secure{{ end -}}
{{- if eq .Values.ingress.stickyCookie.sameSite "none" }}; SameSite=None{{ end -}}
{{- end -}}
{{- end -}}

{{/* The environment of the app, without `settings` (those are in the ConfigMap). */}}
{{- define "heliograph.appEnv" -}}
- name: HOST
  value: 0.0.0.0
- name: PORT
  value: "8080"
- name: METRICS_PORT
  value: {{ include "heliograph.metricsPort" . | quote }}
- name: DATA_DIR
  value: /data
# By this name the operator knows the replica.
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: STICKY_COOKIE
  value: {{ include "heliograph.stickyCookieName" . | quote }}
- name: STICKY_COOKIE_ATTRIBUTES
  value: {{ include "heliograph.stickyCookieAttributes" . | quote }}
- name: WEBUI_SECRET_KEY
  valueFrom:
    secretKeyRef:
      name: {{ include "heliograph.secretName" . }}
      key: WEBUI_SECRET_KEY
- name: OPENAI_API_KEY
  valueFrom:
    secretKeyRef:
      name: {{ include "heliograph.secretName" . }}
      key: OPENAI_API_KEY
      optional: true
{{- with include "heliograph.redis.env" . | trim }}
{{ . }}
{{- end }}
{{- with include "heliograph.database.env" . | trim }}
{{ . }}
{{- end }}
{{- end -}}
