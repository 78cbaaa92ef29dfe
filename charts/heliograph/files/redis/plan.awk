# The next steps of a cluster: prints them, `wait`, or `well`.
#
# Input: $RUN/peers, then one file for each pod that answered, named node.ORDINAL, with what it
# said to CLUSTER NODES, INFO server and INFO replication.
# -v masters=N: how many there should be. -v place=yes: move what is well, but badly placed.
#
#   meet AT OTHER        pod AT greets pod OTHER
#   forget AT ID         a node that is no pod's any more
#   takeover AT          a replica whose master is no pod's any more becomes master
#   slots AT FIRST LAST  slots that nobody has
#   replicate AT ID      a pod becomes a replica of the master with that id
#   failover AT          a replica takes over from its master, in order
#
# Steps that change who has what need the answers of all pods: what does not answer may be
# the only one that knows.

FILENAME ~ /peers$/ {
    pods++
    address[$1] = $2 ":" $3
    next
}
FNR == 1 {
    pod = FILENAME
    sub(/.*node\./, "", pod)
    pod += 0
    answered[pod] = 1
    answers++
}
length($1) == 40 && $2 ~ /@/ {
    at = $2
    sub(/@.*/, "", at)
    if ($3 ~ /myself/) {
        id[pod] = $1
        pod_of[$1] = pod
        is_master[pod] = ($3 ~ /master/)
        master[pod] = $4
        for (i = 9; i <= NF; i++) {
            if (substr($i, 1, 1) == "[") continue
            n = split($i, ends, "-")
            for (slot = ends[1] + 0; slot <= ends[n] + 0; slot++) owner[slot] = pod
            slots[pod] += ends[n] - ends[1] + 1
            covered += ends[n] - ends[1] + 1
        }
        next
    }
    if ($3 ~ /handshake/) next
    seen[pod, $1] = at
    known[$1] = 1
    if ($3 ~ /fail/ || $3 ~ /noaddr/ || $8 != "connected") unwell[pod, $1] = 1
    if ($3 ~ /fail/ || $3 ~ /noaddr/) gone[$1] = 1
}
/^config_file:.*\/on\// {
    node[pod] = $0
    sub(/.*\/on\//, "", node[pod])
    sub(/\/[^\/]*$/, "", node[pod])
}
/^master_link_status:up/ { linked[pod] = 1 }
/^master_host:/ { follows[pod] = substr($0, 13) }
/^master_port:/ { follows[pod] = follows[pod] ":" substr($0, 13) }
/^slave_repl_offset:/ { offset[pod] = substr($0, 19) + 0 }

END {
    if (answers < pods) finish("wait")
    meet()
    forget()
    if (covered < 16384) cover()
    replicate()
    follow()
    for (p = 0; p < pods; p++) {
        if (!is_master[p] && !linked[p]) finish("wait")
        for (q = 0; q < pods; q++)
            if (p != q && (p, id[q]) in unwell) finish("wait")
    }
    print "well"
    if (place == "yes") spread()
}

function finish(step) {
    print step
    exit
}

# All know each other, at their present addresses.
function meet(    p, base, steps) {
    base = 0
    for (p = 0; p < pods; p++)
        if (slots[p] > slots[base]) base = p
    for (p = 0; p < pods; p++) {
        if (p == base) continue
        if (!((base, id[p]) in seen) ||
            (seen[base, id[p]] != address[p] && (base, id[p]) in unwell)) {
            print "meet", base, p
            steps++
        }
    }
    if (steps) exit
    for (p = 0; p < pods; p++)
        for (q = 0; q < pods; q++)
            if (p != q && !((p, id[q]) in seen)) finish("wait")
}

# Nodes that nobody is: a pod that lost its volume came back as another.
function forget(    other, p, heir, steps) {
    for (other in known) {
        if (other in pod_of || !(other in gone)) continue
        heir = -1
        for (p = 0; p < pods; p++)
            if (!is_master[p] && master[p] == other && (heir < 0 || offset[p] > offset[heir]))
                heir = p
        if (heir >= 0) {
            # It cannot come back, and whose address another has is never counted as down: no vote.
            print "takeover", heir
            steps++
            continue
        }
        for (p = 0; p < pods; p++)
            if ((p, other) in seen) {
                print "forget", p, other
                steps++
            }
    }
    if (steps) exit
}

# Slots that nobody has: all of them at first; later those of a master that was lost with all
# its replicas.
function cover(    share, first, last, slot, p, who, from) {
    for (p = 0; p < pods; p++)
        if (slots[p]) used[node[p]]++
    for (share = 0; share < masters; share++) {
        first = int(16384 * share / masters)
        last = int(16384 * (share + 1) / masters) - 1
        who = -1
        for (slot = first; slot <= last; slot++)
            if (slot in owner) { who = owner[slot]; break }
        if (who < 0) who = newcomer()
        if (who < 0) continue
        slots[who] += 0.5
        from = -1
        for (slot = first; slot <= last + 1; slot++) {
            if (slot <= last && !(slot in owner)) {
                if (from < 0) from = slot
            } else if (from >= 0) {
                print "slots", who, from, slot - 1
                from = -1
            }
        }
    }
    exit
}

# A pod without slots, on the node with the fewest masters.
function newcomer(    p, best) {
    best = -1
    for (p = 0; p < pods; p++)
        if (is_master[p] && !slots[p] && (best < 0 || used[node[p]] < used[node[best]])) best = p
    if (best >= 0) used[node[best]]++
    return best
}

# Pods without a task follow the master with the fewest replicas, on another node if possible.
function replicate(    p, q, best, cost, least, steps, choice) {
    for (p = 0; p < pods; p++)
        if (!is_master[p] && master[p] in pod_of) replicas[pod_of[master[p]]]++
    for (p = 0; p < pods; p++) {
        if (!is_master[p] || slots[p]) continue
        best = -1
        for (q = 0; q < pods; q++) {
            if (!slots[q]) continue
            cost = 2 * replicas[q] + (node[q] == node[p])
            if (best < 0 || cost < least) { best = q; least = cost }
        }
        if (best < 0) continue
        choice[p] = best
        replicas[best]++
    }
    # What was left for the last may be the master on its own node: it changes with another.
    for (p in choice) {
        for (q in choice) {
            if (node[p] != node[choice[p]]) break
            if (node[p] != node[choice[q]] && node[q] != node[choice[p]]) {
                best = choice[p]
                choice[p] = choice[q]
                choice[q] = best
            }
        }
    }
    for (p = 0; p < pods; p++)
        if (p in choice) {
            print "replicate", p, id[choice[p]]
            steps++
        }
    if (steps) exit
}

# A replica that learnt of its master's new address from others goes on asking at the old one.
function follow(    p, steps) {
    for (p = 0; p < pods; p++) {
        if (is_master[p] || linked[p] || !(master[p] in pod_of)) continue
        if (follows[p] != address[pod_of[master[p]]]) {
            print "replicate", p, master[p]
            steps++
        }
    }
    if (steps) exit
}

# One node that dies should take one master with it, and no master with all its replicas.
function spread(    p, q, m) {
    for (p = 0; p < pods; p++) {
        if (is_master[p] || node[p] != node[m = pod_of[master[p]]]) continue
        for (q = 0; q < pods; q++) {
            if (is_master[q] || pod_of[master[q]] == m) continue
            if (node[q] != node[m] && node[p] != node[pod_of[master[q]]]) {
                print "replicate", q, id[m]
                print "replicate", p, master[q]
                exit
            }
        }
    }
    apart()
}

# Of all choices of a master for each share, the one with the fewest on one node, then the one
# with the fewest changes. Too many are not tried: then a single change that helps has to do.
function apart(    share, n, p, total, choice, rest, i, cost, best, plan, load) {
    n = 0
    total = 1
    for (p = 0; p < pods; p++)
        if (slots[p]) {
            share = n++
            copy[share, 0] = p
            copies[share] = 1
            for (q = 0; q < pods; q++)
                if (!is_master[q] && pod_of[master[q]] == p) copy[share, copies[share]++] = q
            total *= copies[share]
        }
    best = -1
    for (choice = 0; choice < total && total <= 4096; choice++) {
        split("", load)
        cost = 0
        rest = choice
        for (i = 0; i < n; i++) {
            p = copy[i, rest % copies[i]]
            cost += (rest % copies[i] > 0)
            rest = int(rest / copies[i])
            cost += 1000 * (2 * load[node[p]]++ + 1)
        }
        if (best < 0 || cost < best) { best = cost; plan = choice }
    }
    for (i = 0; best >= 0 && i < n; i++) {
        if (plan % copies[i]) finish("failover " copy[i, plan % copies[i]])
        plan = int(plan / copies[i])
    }
}
