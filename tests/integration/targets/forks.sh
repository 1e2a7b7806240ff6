#!/bin/sh
# Forks and executes without pause; prints sums that only right results give, exit code 5.
echo ready
read -r line
sum=0
i=0
while [ "$i" -lt 60 ]; do
  word=$(echo "$i" | cat)
  (exit "$((i % 100))")
  sum=$((sum + word + $?))
  i=$((i + 1))
  echo "$i $sum" | sed 's/ /:/'
done
exit 5
