{{/*
Peers and ports that several NetworkPolicies name. A peer within the release is its component: what
another release in the namespace runs is a stranger.
*/}}

{{/* The pods of a component as a peer; called with (dict "context" $ "component" …). */}}
{{- define "heliograph.peer" -}}
- podSelector:
    matchLabels:
      {{- include "heliograph.selectorLabels" . | nindent 6 }}
{{- end -}}

{{/* Egress to the cluster's DNS. */}}
{{- define "heliograph.egressDns" -}}
- to:
    {{- toYaml .Values.networkPolicy.dns | nindent 4 }}
  ports:
    {{- range .Values.networkPolicy.dnsPorts }}
    - { protocol: UDP, port: {{ . }} }
    - { protocol: TCP, port: {{ . }} }
    {{- end }}
{{- end -}}

{{/* Egress to addresses; called with a value of the form {cidrs, ports, except?}. */}}
{{- define "heliograph.egressAddresses" -}}
{{- if and .cidrs .ports }}
- to:
    {{- range $cidr := .cidrs }}
    - ipBlock:
        cidr: {{ $cidr | quote }}
        {{- /* An exception outside of its block would be refused: they are for "everything" only. */}}
        {{- $except := list }}
        {{- range $.except | default list }}
        {{- if or (and (eq $cidr "0.0.0.0/0") (not (contains ":" .))) (and (eq $cidr "::/0") (contains ":" .)) }}
        {{- $except = append $except . }}
        {{- end }}
        {{- end }}
        {{- with $except }}
        except:
          {{- toYaml . | nindent 10 }}
        {{- end }}
    {{- end }}
  ports:
    {{- range .ports }}
    - { protocol: TCP, port: {{ . }} }
    {{- end }}
{{- end }}
{{- end -}}

{{/* Egress to the database, whatever it is. */}}
{{- define "heliograph.egressDatabase" -}}
{{- $kind := include "heliograph.databaseKind" . -}}
{{- if eq $kind "postgresql" }}
- to:
    {{- include "heliograph.peer" (dict "context" $ "component" "postgresql") | nindent 4 }}
  ports:
    - { protocol: TCP, port: 5432 }
{{- else if eq $kind "external" }}
{{- include "heliograph.egressAddresses" .Values.networkPolicy.externalDatabase }}
{{- end }}
{{- end -}}

{{/* Egress of clients of Redis, whatever it is. */}}
{{- define "heliograph.egressRedis" -}}
{{- if .Values.redis.enabled -}}
{{- if eq .Values.redis.mode "external" }}
{{- include "heliograph.egressAddresses" .Values.networkPolicy.externalRedis }}
{{- else }}
- to:
    {{- include "heliograph.peer" (dict "context" $ "component" "redis") | nindent 4 }}
  ports:
    {{- include "heliograph.redisClientPorts" . | nindent 4 }}
{{- end }}
{{- end -}}
{{- end -}}

{{/* Ports of Redis that clients use. */}}
{{- define "heliograph.redisClientPorts" -}}
- { protocol: TCP, port: 6379 }
{{- if eq .Values.redis.mode "sentinel" }}
- { protocol: TCP, port: 26379 }
{{- end }}
{{- end -}}

{{/* Ports by which the pods of Redis know each other. */}}
{{- define "heliograph.redisOwnPorts" -}}
{{- include "heliograph.redisClientPorts" . }}
{{- if eq .Values.redis.mode "cluster" }}
- { protocol: TCP, port: 16379 }
{{- end }}
{{- end -}}
