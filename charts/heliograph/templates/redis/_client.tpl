{{/*
What the app's containers need to reach Redis and the database.
*/}}

{{/* The part of Redis's names that all have. */}}
{{- define "heliograph.redis.fullname" -}}
{{- printf "%s-redis" (include "heliograph.fullname" .) -}}
{{- end -}}

{{/* Number of pods. */}}
{{- define "heliograph.redis.pods" -}}
{{- if eq .Values.redis.mode "sentinel" -}}{{ .Values.redis.sentinel.replicas }}
{{- else if eq .Values.redis.mode "cluster" -}}{{ mul .Values.redis.cluster.masters (add1 .Values.redis.cluster.replicasPerMaster) }}
{{- else -}}1
{{- end -}}
{{- end -}}

{{/* Name of the Secret with the passwords. */}}
{{- define "heliograph.redis.authSecret" -}}
{{- .Values.redis.auth.existingSecret | default (include "heliograph.redis.fullname" .) -}}
{{- end -}}

{{/* Name of the Secret with the certificate. */}}
{{- define "heliograph.redis.tlsSecret" -}}
{{- .Values.redis.tls.existingSecret | default (printf "%s-tls" (include "heliograph.redis.fullname" .)) -}}
{{- end -}}

{{/* The Secret, and its key, with what rediss:// is verified with: {name, key}, or nothing. */}}
{{- define "heliograph.redis.ca" -}}
{{- if .Values.redis.enabled -}}
{{- if ne .Values.redis.mode "external" -}}
{{- if .Values.redis.tls.enabled }}{{ dict "name" (include "heliograph.redis.tlsSecret" .) "key" "ca.crt" | toJson }}{{ end -}}
{{- else if .Values.redis.external.caSecret -}}
{{- dict "name" .Values.redis.external.caSecret "key" .Values.redis.external.caSecretKey | toJson -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* memory, or replicated. */}}
{{- define "heliograph.redis.durability" -}}
{{- $redis := .Values.redis -}}
{{- if ne $redis.durability "auto" -}}{{ $redis.durability }}
{{- else if eq $redis.mode "sentinel" -}}replicated
{{- else if and (eq $redis.mode "cluster") (gt (int $redis.cluster.replicasPerMaster) 0) -}}replicated
{{- else -}}memory
{{- end -}}
{{- end -}}

{{/* Environment of a container of the app that uses Redis. */}}
{{- define "heliograph.redis.env" -}}
{{- if .Values.redis.enabled -}}
- name: WEBSOCKET_MANAGER
  value: redis
- name: DELIVERY_DURABILITY
  value: {{ include "heliograph.redis.durability" . }}
{{ include "heliograph.redis.address" . | trim }}
{{- end -}}
{{- end -}}

{{/* Where Redis is, for the app and the operator. */}}
{{- define "heliograph.redis.address" -}}
{{- $redis := .Values.redis -}}
{{- $name := include "heliograph.redis.fullname" . -}}
{{- $domain := printf "%s.svc" .Release.Namespace -}}
{{- if include "heliograph.redis.ca" . }}
- name: REDIS_TLS_CA_FILE
  value: /etc/heliograph/redis-ca/ca.crt
{{- end }}
{{- if eq $redis.mode "external" }}
- name: WEBSOCKET_REDIS_URL
  valueFrom:
    secretKeyRef:
      name: {{ $redis.external.existingSecret | default (printf "%s-external" $name) }}
      key: {{ empty $redis.external.existingSecret | ternary "url" $redis.external.existingSecretKey }}
{{- if $redis.external.cluster }}
- name: WEBSOCKET_REDIS_CLUSTER
  value: "True"
{{- end }}
{{- with $redis.external.sentinelHosts }}
- name: WEBSOCKET_SENTINEL_HOSTS
  value: {{ join "," . | quote }}
{{- end }}
{{- with $redis.external.sentinelPasswordSecret }}
- name: REDIS_SENTINEL_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ . }}
      key: {{ $redis.external.sentinelPasswordSecretKey }}
{{- end }}
{{- else }}
{{- $scheme := $redis.tls.enabled | ternary "rediss" "redis" }}
- name: REDIS_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ include "heliograph.redis.authSecret" . }}
      key: heliograph
{{- if eq $redis.mode "sentinel" }}
- name: WEBSOCKET_REDIS_URL
  value: {{ $scheme }}://heliograph:$(REDIS_PASSWORD)@{{ $redis.sentinel.masterName }}/0
- name: WEBSOCKET_SENTINEL_HOSTS
  value: {{ range $i := until (int (include "heliograph.redis.pods" .)) }}{{ if $i }},{{ end }}{{ $name }}-{{ $i }}.{{ $domain }}{{ end }}
- name: WEBSOCKET_SENTINEL_PORT
  value: "26379"
- name: REDIS_SENTINEL_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ include "heliograph.redis.authSecret" . }}
      key: sentinel-clients
{{- else }}
- name: WEBSOCKET_REDIS_URL
  value: {{ $scheme }}://heliograph:$(REDIS_PASSWORD)@{{ $name }}.{{ $domain }}:6379/0
{{- if eq $redis.mode "cluster" }}
- name: WEBSOCKET_REDIS_CLUSTER
  value: "True"
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "heliograph.redis.volumes" -}}
{{- with include "heliograph.redis.ca" . -}}
{{- $ca := fromJson . -}}
- name: redis-ca
  secret:
    secretName: {{ $ca.name }}
    items:
      - { key: {{ $ca.key }}, path: ca.crt }
{{- end -}}
{{- end -}}

{{- define "heliograph.redis.volumeMounts" -}}
{{- if include "heliograph.redis.ca" . -}}
- name: redis-ca
  mountPath: /etc/heliograph/redis-ca
  readOnly: true
{{- end -}}
{{- end -}}

{{/* Environment of a container that uses the database; nothing with SQLite. */}}
{{- define "heliograph.database.env" -}}
{{- $kind := include "heliograph.databaseKind" . -}}
{{- if eq $kind "postgresql" -}}
{{- $name := printf "%s-postgresql" (include "heliograph.fullname" .) -}}
- name: POSTGRES_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ .Values.postgresql.existingSecret | default $name }}
      key: password
- name: DATABASE_URL
  value: postgresql+asyncpg://{{ .Values.postgresql.username }}:$(POSTGRES_PASSWORD)@{{ $name }}:5432/{{ .Values.postgresql.database }}
{{- else if eq $kind "external" -}}
- name: DATABASE_URL
  valueFrom:
    secretKeyRef:
      name: {{ .Values.externalDatabase.existingSecret | default (printf "%s-database" (include "heliograph.fullname" .)) }}
      key: {{ empty .Values.externalDatabase.existingSecret | ternary "url" .Values.externalDatabase.existingSecretKey }}
{{- end -}}
{{- end -}}
