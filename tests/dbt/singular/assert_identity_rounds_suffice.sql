-- Labels travel a fixed number of rounds; a chain of people longer than that would stay in two parts,
-- seen as one e-mail address that belongs to two people.
select
    email_hash,
    count(distinct customer_key) as people
from {{ ref('int_customers_resolved') }}
where email_hash is not null
group by email_hash
having count(distinct customer_key) > 1
